// Completion on the command line: the scripts for shells, and the words that they ask for.
//
// Protocol:    `collapsar complete WORD...` gets the words behind `collapsar` up to the cursor, the last of them unfinished,
//              and prints a line per candidate for the last: the whole word, and behind a tab what it means. A word that
//              ends in `=` or `.` goes on without a space. A line that begins with a tab asks the shell for its own:
//              "files", "files *.yaml", "directories", "commands".
// Source:      the commands' own tables: names and metavars of options, the usage line for arguments, config keys.
#pragma once

#include <string_view>

#include "sim/run/cli_options.h"

namespace collapsar {

int run_complete(std::span<const Command> commands, const Arguments& words);

// `collapsar completion bash|zsh`: prints the script.
int run_completion(const Arguments& arguments);
CommandOptions options_of_completion();

// Candidates for a config key with its value: "kernel.thp.enabled=never"; `may_list`: more values behind a comma.
Arguments complete_assignment(const std::string& word, bool may_list);
// Candidates for a part of a key, for `config keys`.
Arguments complete_key(const std::string& word);

// The parts of `text` between each `at`.
Arguments split(const std::string& text, char at);

namespace assets {
extern const std::string_view bash_completion, zsh_completion;  // sim/run/completion, by cmake/Embed.cmake
}

}  // namespace collapsar
