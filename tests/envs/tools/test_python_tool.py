"""The `python` tool as policies and environments see it: what a cell shows, what stays, and how branches part."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from axpo_envs.backends.python_sandbox.limits import SandboxLimits, SandboxSettings
from axpo_envs.backends.python_sandbox.start import available_isolations
from axpo_envs.backends.python_sandbox.state import Cell, PythonState, ReplayFault
from axpo_envs.images import ImageRef
from axpo_envs.tool.protocol import ToolContext
from axpo_envs.tools.python import PythonTool
from axpo_envs.types import Question, ToolResult, ToolStatus

LIMITS = SandboxLimits(wall_s=30.0, memory_mb=256, scratch_mb=8)
QUESTION = Question(id="q", prompt=("How much?",), answer="42")


@pytest.fixture(scope="module", params=available_isolations())
def tool(request: pytest.FixtureRequest) -> Iterator[PythonTool]:
    tool = PythonTool(LIMITS, settings=SandboxSettings(isolation=request.param))
    yield tool
    tool.close()


class Session:
    """An episode's calls, one after the other."""

    def __init__(self, tool: PythonTool, *, seed: int = 3, state: PythonState | None = None) -> None:
        self.tool = tool
        self.state = state or PythonState()
        self.seed = seed

    def run(self, code: str) -> ToolResult:
        arguments = self.tool.validate({"code": textwrap.dedent(code)})
        context = ToolContext(question=QUESTION, images=(), seed=self.seed)
        result, self.state = self.tool.step(arguments, self.state, context)
        return result

    def read(self, code: str) -> str:
        return "".join(part for part in self.run(code).content if isinstance(part, str))

    def branch(self) -> Session:
        return Session(self.tool, seed=self.seed, state=self.state)


@pytest.fixture
def session(tool: PythonTool) -> Session:
    return Session(tool)


class TestDisplay:
    def test_shows_prints_and_the_value_of_the_last_expression(self, session: Session) -> None:
        assert session.read("print('a')\nx = 3\nx * 2") == "a\n6\n"

    def test_shows_no_none_and_no_value_before_a_semicolon(self, session: Session) -> None:
        assert session.run("None").content == ("(no output)",)
        assert session.run("1 + 1;").content == ("(no output)",)

    def test_keeps_the_order_of_standard_output_and_error(self, session: Session) -> None:
        code = "import sys\nprint(1)\nprint(2, file=sys.stderr)\nprint(3)\nsys.stdout.write('4')\n5"
        assert session.read(code) == "1\n2\n3\n45\n"

    def test_shows_what_c_code_writes(self, session: Session) -> None:
        assert session.read("import os; os.write(1, b'raw')") == "raw3\n"

    def test_tracebacks_show_the_cells_frames_only(self, session: Session) -> None:
        session.run("def halve(x):\n    return int(x) / 2")
        result = session.run("import json\nhalve(json.loads('{'))")
        assert result.status is ToolStatus.ERROR
        lines = str(result.content[0]).splitlines()
        assert [line for line in lines if line.strip(" ^~")] == [
            "Traceback (most recent call last):",
            '  File "<cell 2>", line 2, in <module>',
            "    halve(json.loads('{'))",
            "json.decoder.JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        ]

    def test_syntax_errors_show_the_line(self, session: Session) -> None:
        result = session.run("x = = 1")
        assert result.status is ToolStatus.ERROR
        assert result.content == ('  File "<cell 1>", line 1\n    x = = 1\n        ^\nSyntaxError: invalid syntax\n',)

    @pytest.mark.parametrize("code", ["'\udce9'", "x = 1\0", "\ufeffx = 1\nx", "print('\udcff')"])
    def test_strange_text_is_no_fault(self, session: Session, code: str) -> None:
        assert session.run(code).content

    def test_exit_is_an_end_like_any_other(self, session: Session) -> None:
        assert session.run("x = 1\nexit()\nx = 2").status is ToolStatus.OK
        assert session.read("x") == "1\n"
        assert session.run("import sys; sys.exit()").status is ToolStatus.OK
        assert session.run("import sys; sys.exit('bad')").content == ("SystemExit: bad\n",)

    def test_reading_input_finds_none(self, session: Session) -> None:
        assert "EOFError" in session.read("input()")

    def test_long_output_keeps_beginning_and_end(self, session: Session) -> None:
        text = session.read("for i in range(100_000): print(i)")
        assert text.startswith("0\n1\n")
        assert text.endswith("99998\n99999\n")
        assert "bytes left out ...]" in text
        assert len(text) < LIMITS.output_bytes + 100


class TestFigures:
    def test_open_figures_come_as_images_and_are_closed(self, session: Session) -> None:
        result = session.run(
            """
            import matplotlib.pyplot as plt
            for colour in ("red", "blue"):
                plt.figure(figsize=(2, 1), dpi=50)
                plt.axis("off")
                plt.gcf().set_facecolor(colour)
            plt.show()
            """
        )
        images = result.content
        assert [type(image) for image in images] == [ImageRef, ImageRef]
        for image, colour in zip(images, ((255, 0, 0), (0, 0, 255)), strict=True):
            assert isinstance(image, ImageRef)
            assert image.pixels.shape == (50, 100, 3)
            assert (image.pixels == np.array(colour, dtype=np.uint8)).all()
        assert session.read("len(plt.get_fignums())") == "0\n"

    def test_each_show_shows_the_figures_of_its_moment(self, session: Session) -> None:
        session.run("import matplotlib.pyplot as plt\nfrom matplotlib.pyplot import show\nfrom PIL import Image")
        code = """
            def draw(colour):
                plt.figure(figsize=(2, 1), dpi=50, facecolor=colour)
            draw("red"); show(block=False)
            Image.new("RGB", (3, 2), "white").show()
            draw("blue"); plt.show()
            plt.show()
            draw("black")
        """
        images = session.run(code).content
        assert all(isinstance(image, ImageRef) for image in images)
        corners = [image.pixels[0, 0].tolist() for image in images if isinstance(image, ImageRef)]
        assert corners == [[255, 0, 0], [255, 255, 255], [0, 0, 255], [0, 0, 0]]

    def test_one_that_cannot_be_drawn_is_gone_with_its_cell(self, session: Session) -> None:
        result = session.run("import matplotlib.pyplot as plt; plt.title('$\\\\frac$'); plt.show()")
        assert result.status is ToolStatus.ERROR
        assert session.run("1").status is ToolStatus.OK

    def test_a_large_figure_is_drawn_smaller_and_many_are_cut(self, session: Session) -> None:
        code = """
            import matplotlib.pyplot as plt
            plt.figure(figsize=(100, 100))
            for i in range(9):
                plt.figure(figsize=(1, 1))
        """
        result = session.run(code)
        text, *images = result.content
        assert text == "[2 of 10 figures left out]\n"
        assert len(images) == 8
        assert isinstance(images[0], ImageRef)
        assert 0.9 * LIMITS.figure_pixels < images[0].width * images[0].height <= 1.01 * LIMITS.figure_pixels

    def test_a_figure_that_cannot_be_drawn_is_an_error(self, session: Session) -> None:
        result = session.run("import matplotlib.pyplot as plt; plt.title('$\\\\frac$');")
        assert result.status is ToolStatus.ERROR
        assert "ValueError" in str(result.content[0])


class TestPictures:
    def test_are_shown_as_a_value_and_by_show_in_order(self, session: Session) -> None:
        code = """
            from PIL import Image
            Image.new("RGB", (3, 2), "red").show()
            Image.new("RGBA", (2, 2), (0, 0, 255, 0))
        """
        first, second = session.run(code).content
        assert isinstance(first, ImageRef)
        assert isinstance(second, ImageRef)
        assert (first.pixels == np.array((255, 0, 0), np.uint8)).all()
        # What is transparent is seen on white.
        assert (second.pixels == 255).all()

    def test_that_are_large_are_shown_smaller_and_many_are_cut(self, session: Session) -> None:
        text, *images = session.run(
            "from PIL import Image\nfor _ in range(9): Image.new('L', (3000, 3000)).show()\n"
        ).content
        assert text == "[1 of 9 figures left out]\n"
        assert {
            image.width * image.height <= LIMITS.figure_pixels for image in images if isinstance(image, ImageRef)
        } == {True}

    def test_of_an_episode_without_any_are_empty_lists(self, session: Session) -> None:
        assert session.read("len(_pil_images), len(_images)") == "(0, 0)\n"

    def test_of_the_episode_are_given_once_each_and_stay_in_branches(self, tool: PythonTool) -> None:
        red, blue = (ImageRef(np.full((2, 3, 3), colour, np.uint8)) for colour in ((255, 0, 0), (0, 0, 255)))

        def step(state: PythonState, code: str, *images: ImageRef) -> tuple[str, PythonState]:
            context = ToolContext(question=QUESTION, images=images, seed=3)
            result, after = tool.step({"code": code}, state, context)
            return "".join(part for part in result.content if isinstance(part, str)), after

        look = "[image.getpixel((0, 0)) for image in _pil_images]"
        text, one = step(PythonState(), look, red)
        assert text == "[(255, 0, 0)]\n"
        text, two = step(one, "_pil_images[0].putpixel((0, 0), (7, 7, 7)); import PIL.Image as P\n" + look, red, blue)
        assert text == "[(7, 7, 7), (0, 0, 255)]\n"
        assert step(one, look, red)[0] == "[(255, 0, 0)]\n"
        assert step(two, "P.open(_images[1]).size, len(_images)", red, blue)[0] == "((3, 2), 2)\n"
        tool.close()
        assert step(two, look, red, blue)[0] == "[(7, 7, 7), (0, 0, 255)]\n"
        tool.close()
        with pytest.raises(ReplayFault, match="the images that cell 1 of 2 was given are not there"):
            step(two, look, blue)


class TestState:
    def test_variables_files_and_open_files_stay(self, session: Session) -> None:
        session.run("x = [1]; f = open('log', 'w+'); f.write('one ')")
        session.run("x.append(2); f.write('two ')")
        assert (
            session.read("f.flush(); f.seek(0); x, f.read(), open('log').read()")
            == "([1, 2], 'one two ', 'one two ')\n"
        )

    def test_a_cell_that_raises_keeps_what_it_did_before(self, session: Session) -> None:
        session.run("x = 1\nraise ValueError\nx = 2")
        assert session.read("x") == "1\n"

    def test_a_cell_that_times_out_leaves_no_trace(self, tool: PythonTool) -> None:
        limits = SandboxLimits(wall_s=1.5, memory_mb=256)
        quick = PythonTool(limits, settings=SandboxSettings(isolation=tool.report.isolation, preload=()))
        session = Session(quick)
        session.run("x = 1; open('f', 'w').write('before')")
        before = session.state
        result = session.run(
            "x = 2; open('f', 'w').write('after'); print('part', end='', flush=True)\nwhile True: pass"
        )
        assert result.status is ToolStatus.TIMEOUT
        assert result.content == (
            "part\n[Stopped: it ran for 1.5 s, which is the limit. The interpreter is as it was before this call.]",
        )
        assert session.state is before
        assert session.read("x, open('f').read()") == "(1, 'before')\n"
        quick.close()

    def test_the_state_is_the_cells_and_their_digests(self, session: Session) -> None:
        session.run("x = 1")
        session.run("x")
        assert [cell.code for cell in session.state.cells] == ["x = 1", "x"]
        assert session.state.seed == 3
        assert session.state.cells[0].digest != session.state.cells[1].digest

    def test_classes_can_be_pickled_and_inspected(self, session: Session) -> None:
        code = """
            import dataclasses, inspect, pickle
            @dataclasses.dataclass
            class Point:
                x: "int"
            def function(): pass
            print(pickle.loads(pickle.dumps(Point(1))), inspect.getsource(function))
        """
        assert session.read(code) == "Point(x=1) def function(): pass\n\n"


class TestRandomness:
    CODE = "import random, secrets, uuid, os\nimport numpy as np\n"
    DRAWS = (
        "random.random(), np.random.rand(), np.random.default_rng().random(), secrets.token_hex(4), uuid.uuid4().hex"
    )

    def test_is_a_function_of_the_seed(self, tool: PythonTool) -> None:
        one, same, other = (Session(tool, seed=seed).read(self.CODE + self.DRAWS) for seed in (7, 7, 8))
        assert one == same
        assert all(a != b for a, b in zip(eval(one), eval(other), strict=True))

    def test_goes_on_alike_in_branches(self, session: Session) -> None:
        session.run(self.CODE + "random.seed(1)")
        texts = {session.branch().read(self.DRAWS) for _ in range(3)}
        assert len(texts) == 1
        again = session.branch()
        again.run(self.DRAWS)
        assert again.read(self.DRAWS) not in texts

    def test_survives_threads_that_a_cell_leaves_behind(self, tool: PythonTool) -> None:
        def draw(*cells: str) -> str:
            session = Session(tool)
            for cell in cells:
                session.run(cell)
            return session.read("random.random()")

        threaded = "import random, threading, time; threading.Thread(target=time.sleep, args=(9,), daemon=True).start()"
        assert draw(threaded) == draw("import random")


class TestBranches:
    def test_see_neither_variables_nor_files_of_each_other(self, session: Session) -> None:
        session.run("x = []; open('f', 'w').write('0')")
        branches = [session.branch() for _ in range(4)]
        for number, branch in enumerate(branches):
            branch.run(f"x.append({number}); open('f', 'a').write('{number}'); open('own{number}', 'w').close()")
        for number, branch in enumerate(branches):
            read = branch.read("import os\nx, open('f').read(), sorted(os.listdir())")
            assert read == f"([{number}], '0{number}', ['f', 'own{number}'])\n"
        assert session.read("x, open('f').read()") == "([], '0')\n"

    def test_share_no_open_file(self, session: Session) -> None:
        session.run(
            "import tempfile; f = open('f', 'w+'); f.write('abc'); f.flush(); f.seek(1)\n"
            "g = tempfile.TemporaryFile(); g.write(b'xyz'); g.seek(0)"
        )
        one, two = session.branch(), session.branch()
        assert (
            one.read("f.read(1), f.write('ONE'), f.flush(), g.read(1), g.write(b'1'), g.flush()")
            == "('b', 3, None, b'x', 1, None)\n"
        )
        assert two.read("f.read(), g.read()") == "('bc', b'xyz')\n"

    def test_share_no_position_in_a_file_of_the_installation(self, session: Session) -> None:
        session.run("import os; f = open(os.__file__, 'rb'); f.read(3)")
        texts = [session.branch().read("f.raw.tell(), os.lseek(f.fileno(), 0, 0);") for _ in range(2)]
        assert texts[0] == texts[1]

    def test_stay_in_the_folder_the_session_was_in(self, session: Session) -> None:
        session.run("import os; os.mkdir('sub'); os.chdir('sub'); path = os.path.abspath('here')")
        one, two = session.branch(), session.branch()
        one.run("open(path, 'w').write('one')")
        assert one.read("os.listdir()") == "['here']\n"
        assert two.read("os.listdir(), os.path.exists(path)") == "([], False)\n"

    def test_share_no_pipe_no_memory_and_no_queue(self, session: Session) -> None:
        session.run("import os, mmap; r, w = os.pipe()")
        assert "Bad file descriptor" in session.branch().read("os.write(w, b'x')")
        assert "PermissionError" in session.branch().read("mmap.mmap(-1, 4096)")

    def test_run_no_code_of_the_session_when_they_begin(self, session: Session) -> None:
        session.run(
            """
            import os, signal
            log = []
            os.register_at_fork(before=lambda: log.append("before"), after_in_parent=lambda: log.append("parent"))
            signal.signal(signal.SIGCHLD, lambda *a: log.append("child"))
            """
        )
        assert [session.branch().read("log") for _ in range(3)] == ["[]\n"] * 3

    def test_of_branches_are_branches(self, session: Session) -> None:
        session.run("path = ''")
        leaves = {}
        for a in "xy":
            middle = session.branch()
            middle.run(f"path += '{a}'")
            for b in "12":
                leaf = middle.branch()
                leaf.run(f"path += '{b}'")
                leaves[a + b] = leaf
        assert {name: leaf.read("path") for name, leaf in leaves.items()} == {name: f"'{name}'\n" for name in leaves}

    def test_run_at_the_same_time(self, session: Session) -> None:
        session.run("import time, os; x = 0")
        branches = [session.branch() for _ in range(8)]
        barrier = threading.Barrier(8)

        def run(number: int) -> str:
            barrier.wait()
            return branches[number].read(
                f"x += {number}\nopen('f', 'w').write(str(x))\ntime.sleep(0.05)\nx, open('f').read()"
            )

        with ThreadPoolExecutor(8) as executor:
            texts = list(executor.map(run, range(8)))
        assert texts == [f"({number}, '{number}')\n" for number in range(8)]


class TestReplay:
    def test_goes_on_where_the_interpreter_is_gone(self, session: Session) -> None:
        session.run("import random; x = random.random(); open('f', 'w').write(str(x))")
        session.run("object(), x")
        kept = session.branch().read("x, open('f').read()")
        session.tool.close()
        assert session.read("x, open('f').read()") == kept

    def test_goes_on_in_another_process(self, session: Session, tmp_path: Path) -> None:
        session.run("x = 20; f = open('f', 'w'); f.write('abc');")
        session.run("x += 1")
        pickled = tmp_path / "session.pickle"
        pickled.write_bytes(pickle.dumps((session.tool, session.state)))
        code = """
            import pickle, sys
            from axpo_envs.tool.protocol import ToolContext
            from axpo_envs.types import Question
            tool, state = pickle.load(open(sys.argv[1], "rb"))
            context = ToolContext(question=Question(id="q", prompt=(), answer=""), images=(), seed=9)
            result, state = tool.step({"code": "f.close(); x * 2, open('f').read()"}, state, context)
            print(result.content[0], end="")
        """
        command = [sys.executable, "-c", textwrap.dedent(code), str(pickled)]
        assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "(42, 'abc')\n"

    def test_that_shows_something_else_is_a_fault(self, session: Session) -> None:
        session.run("import time; time.time_ns()")
        session.run("x = 1")
        session.tool.close()
        with pytest.raises(ReplayFault, match="cell 1 of 2 showed something else"):
            session.run("x")

    def test_of_cells_that_never_were_is_a_fault(self, session: Session) -> None:
        session.state = PythonState(cells=(Cell(code="1", digest="0" * 32),), seed=1)
        with pytest.raises(ReplayFault, match="cell 1 of 1 showed something else"):
            session.run("x")

    def test_replaces_interpreters_that_were_evicted(self, tool: PythonTool) -> None:
        settings = SandboxSettings(isolation=tool.report.isolation, preload=(), live=2)
        small = PythonTool(LIMITS, settings=settings)
        sessions = [Session(small, seed=seed) for seed in range(5)]
        for _ in range(3):
            for number, session in enumerate(sessions):
                session.run(f"x = globals().get('x', 0) + {number}; open('f', 'a').write('{number}');")
        assert [session.read("x, open('f').read()") for session in sessions] == [
            f"({3 * number}, '{str(number) * 3}')\n" for number in range(5)
        ]
        small.close()
