"""Images from anywhere: files, addresses, decoding, colours, the sizes they are shown at, coordinates on them."""
