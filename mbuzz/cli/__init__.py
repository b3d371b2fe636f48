"""The `mbuzz` command, one file per subcommand."""
