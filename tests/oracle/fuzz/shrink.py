def shrink(program, folder, name, kernel, say):
    raise SystemExit("x")
