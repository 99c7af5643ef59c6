"""What a worker runs, a kind of step a file: `run(task, inputs, folder, tools)` writes its files and returns its facts."""
