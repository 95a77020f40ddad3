// The capture tool on this computer: found in the cache, or compiled there on first use.
//
// Models:      nothing. The tool is a program of its own (traces/capture, GPL-2.0-or-later) that is linked with the static
//              libraries of Debian's package valgrind.
// Errors:      ConfigError, with what is missing and the line that installs it, or what the compiler said.
// Owns:        CACHE/collapsar/capture-HASH, where CACHE is XDG_CACHE_HOME or ~/.cache and HASH stands for sources,
//              options and Valgrind's version.
#pragma once

#include <string>
#include <vector>

namespace collapsar {

// The folder to name in VALGRIND_LIB. `sources`: where the tool's C files may lie; the first that has them counts.
std::string prepare_capture_tool(const std::vector<std::string>& sources);

}  // namespace collapsar
