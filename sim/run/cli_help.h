// What --help says: one shape for all commands. help2man makes the man pages from it, so headings and indents are its own.
#pragma once

#include <string>
#include <vector>

#include "sim/run/cli_options.h"

namespace collapsar {

// `text` with its paragraphs filled to the width of the help, ending in a newline.
std::string filled(const std::string& text);
// "  -h, --help    this text", one entry per option, filled.
std::string option_list(const std::vector<OptionInfo>& options);
std::string group_help(const CommandGroup& group);

// The end of `collapsar --help`: what holds for every command, and what each exit status means.
std::string program_help();

}  // namespace collapsar
