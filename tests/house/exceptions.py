"""The one place where a size rule is set aside. Each entry carries its reason; an entry no longer needed fails the tests."""

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
README_LINES_MAX = 150

# path -> why this file is one topic although it is longer than FILE_LINES_MAX
LONG_FILES: dict[str, str] = {
    "proto/kv.proto": "one service is one file: clients copy it and generate from it",
}

# "path::qualified.name" -> why this function is one job although it is longer than FUNCTION_LINES_MAX
LONG_FUNCTIONS: dict[str, str] = {}
