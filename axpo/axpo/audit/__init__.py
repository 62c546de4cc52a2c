"""Audits of rollouts that any trainer or harness has written: what they say of acting, whatever trained the policy."""
