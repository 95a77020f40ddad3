#include "sim/run/cli_help.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

namespace collapsar {

namespace {

constexpr std::size_t kWidth = 100;

// The one place that says what each status means; tests hold the program and the README against it.
struct ExitMeaning {
  ExitStatus status;
  const char* text;
};
constexpr ExitMeaning kExitMeanings[] = {
    {kDone, "done"},
    {kSimulationFailed,
     "the outcome is bad: validate missed a mark, a point of sweep failed, capture saw references outside every "
     "mapping; or there is no outcome: no simulated memory is left, or none of this computer, or standard output "
     "cannot be written"},
    {kInputWrong,
     "what was given is wrong: the command line, a config, a trace or a scenario; or a file cannot be read or written, "
     "or a program that capture needs is missing"},
};

struct Term {
  std::string term, text;
};

const std::vector<Term> kEnvironment = {
    {"NO_COLOR", "if it is set and not empty, nothing is coloured, unless --color always asks for it"},
    {"TERM", "dumb or not set: no colour, no progress line"},
    {"XDG_CACHE_HOME", "capture keeps its compiled tool in collapsar/ there, without it in ~/.cache"},
    {"TMPDIR", "where capture has its socket while it runs"},
};

// Words of `text` in lines of at most `width`, all but the first behind `indent` spaces.
std::string wrapped(const std::string& text, std::size_t indent, std::size_t width) {
  std::string out, line, word;
  std::istringstream words(text);
  while (words >> word) {
    if (!line.empty() && indent + line.size() + 1 + word.size() > width) {
      out += line + "\n" + std::string(indent, ' ');
      line.clear();
    }
    line += (line.empty() ? "" : " ") + word;
  }
  return out + line + "\n";
}

// Terms in a column, what they mean beside them.
std::string term_list(const std::vector<Term>& terms) {
  std::size_t widest = 0;
  for (const Term& each : terms) widest = std::max(widest, each.term.size());
  std::string out;
  for (const Term& each : terms)
    out += fmt::format("  {:<{}}  {}", each.term, widest, wrapped(each.text, widest + 4, kWidth));
  return out;
}

std::vector<Term> exit_statuses() {
  std::vector<Term> terms;
  for (const ExitMeaning& each : kExitMeanings) terms.push_back({fmt::format("{}", int(each.status)), each.text});
  return terms;
}

}  // namespace

std::string filled(const std::string& text) { return wrapped(text, 0, kWidth); }

std::string option_list(const std::vector<OptionInfo>& options) {
  std::vector<Term> terms;
  for (const OptionInfo& option : options)
    terms.push_back({(option.letter ? fmt::format("-{}, ", option.letter) : std::string(4, ' ')) + "--" + option.name +
                         (option.metavar.empty() ? "" : " " + option.metavar),
                     option.help});
  return term_list(terms);
}

std::string group_help(const CommandGroup& group) {
  std::vector<Term> commands;
  for (const Command& command : group.commands) commands.push_back({command.name, command.summary});
  return fmt::format("Usage: {0} COMMAND [ARGUMENT]...\n\n{1}\nCommands:\n{2}\n{0} COMMAND --help tells more.\n{3}",
                     group.path, filled(group.about), term_list(commands), group.help);
}

std::string program_help() {
  const std::vector<OptionInfo> options = {{"help", 'h', "", "this text"}, {"version", 0, "", "the version"}};
  return fmt::format("\nOptions:\n{}\nEnvironment:\n{}\nExit status:\n{}\nExamples:\n{}", option_list(options),
                     term_list(kEnvironment), term_list(exit_statuses()),
                     "  collapsar run configs/quickstart.yaml\n"
                     "  collapsar capture -- python3 -c 'print(sum(range(10**6)))'\n"
                     "  collapsar run python3.ctr --out report\n");
}

}  // namespace collapsar
