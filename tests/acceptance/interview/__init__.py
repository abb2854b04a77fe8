"""Questions of interviews with their own answers, written by hand: pairs on which `evaluate` is measured."""
