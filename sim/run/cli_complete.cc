#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "models/kernel/rules.h"
#include "sim/run/cli_completion.h"
#include "sim/run/experiment_config.h"

namespace collapsar {

namespace {

// Variants of the first config among `words`, as far as it can be read; else those that a trace alone gets.
Arguments variants_of(const Arguments& words) {
  const auto is_config = [](const std::string& word) { return word.ends_with(".yaml") || word.ends_with(".yml"); };
  const auto file = std::find_if(words.begin(), words.end(), is_config);
  const std::vector<std::string> dirs = installed_configs();
  Arguments names;
  try {
    const ConfigNode config = file == words.end() ? ConfigNode::map() : load_experiment(*file, {}, dirs);
    for (const Variant& variant : resolve_experiment(config, {}, dirs).variants) names.push_back(variant.name);
  } catch (const std::exception&) {  // half-written: nothing to offer
  }
  return names;
}

Arguments kernel_versions() {
  Arguments versions;
  for (const Rules& rules : kRules) versions.emplace_back(rules.version);
  return versions;
}

// What may stand for a metavar of a help text, when `word` of it is there already and `words` stand before it.
Arguments candidates_for(const std::string& metavar, const std::string& word, const Arguments& words) {
  if (metavar == "KEY=VALUE") return complete_assignment(word, false);
  if (metavar == "KEY=V1,V2,...") return complete_assignment(word, true);
  if (metavar == "WORD") return complete_key(word);
  if (metavar == "VARIANT") return variants_of(words);
  if (metavar == "VERSION") return kernel_versions();
  if (metavar == "NAME") return installed_validations();
  if (metavar == "COMMAND") return {"--\tthe command stands behind it"};
  if (metavar == "SHELL") return {"bash", "zsh"};
  if (metavar == "DIR") return {"\tdirectories"};
  if (metavar == "FILE" || metavar == "TRACE" || metavar == "IN" || metavar == "OUT") return {"\tfiles"};
  if (const std::size_t dot = metavar.find('.'); dot != metavar.npos) return {"\tfiles *" + metavar.substr(dot)};
  if (metavar.find('|') != metavar.npos) return split(metavar, '|');
  return {};  // N, BYTES, ADDRESS
}

// "trace cut IN... OUT --skip N [--limit N]" -> IN, OUT: metavars that belong to no option.
Arguments metavars_of_arguments(const std::string& usage) {
  Arguments metavars;
  bool belongs_to_option = false;
  for (std::string word : split(usage, ' ')) {
    std::erase_if(word, [](char c) { return c == '[' || c == ']'; });
    if (const std::size_t dots = word.find("..."); dots != word.npos) word.erase(dots);
    const bool is_option = word.starts_with("--") && word.size() > 2;
    const bool is_metavar = !word.empty() && word.front() >= 'A' && word.front() <= 'Z' && word != "OPTION";
    if (is_metavar && !belongs_to_option) metavars.push_back(word);
    belongs_to_option = is_option;
  }
  return metavars;
}

const OptionInfo* find_option(const CommandOptions& options, const std::string& word) {
  for (const OptionInfo& option : options.list())
    if (word == "--" + option.name || (option.letter && word == std::string("-") + option.letter)) return &option;
  return nullptr;
}

// `words` stand behind the command's name; the last is unfinished.
Arguments complete_command(const CommandOptions& options, const Arguments& words) {
  const std::string& word = words.back();
  const auto dashes = std::find(words.begin(), words.end() - 1, "--");
  if (dashes != words.end() - 1 && options.usage().ends_with("-- COMMAND [ARGUMENT]..."))
    return {dashes == words.end() - 2 ? "\tcommands" : "\tfiles"};
  if (words.size() > 1)
    if (const OptionInfo* option = find_option(options, words[words.size() - 2]); option && !option->metavar.empty())
      return candidates_for(option->metavar, word, words);
  if (const std::size_t equals = word.find('='); word.starts_with("--") && equals != word.npos) {
    const OptionInfo* option = find_option(options, word.substr(0, equals));
    Arguments candidates = option ? candidates_for(option->metavar, word.substr(equals + 1), words) : Arguments{};
    for (std::string& each : candidates)
      if (!each.starts_with('\t')) each.insert(0, word, 0, equals + 1);
    return candidates;
  }
  Arguments candidates;
  if (word.starts_with('-')) {
    for (const OptionInfo& option : options.list()) candidates.push_back("--" + option.name + "\t" + option.help);
    return candidates;
  }
  for (const std::string& metavar : metavars_of_arguments(options.usage()))
    for (std::string& each : candidates_for(metavar, word, words)) candidates.push_back(std::move(each));
  if (std::find(candidates.begin(), candidates.end(), "\tfiles") != candidates.end())
    std::erase_if(candidates, [](const std::string& each) { return each.starts_with("\tfiles "); });
  return candidates;
}

Arguments complete_words(std::span<const Command> commands, const Arguments& words) {
  Arguments candidates;
  if (words.size() > 1) {
    if (words.front() == "help") return complete_words(commands, {words.begin() + 1, words.end()});
    for (const Command& command : commands) {
      if (command.name != words.front()) continue;
      const Arguments rest(words.begin() + 1, words.end());
      if (command.commands) return complete_words(command.commands(), rest);
      return command.options ? complete_command(command.options(), rest) : candidates;
    }
    return candidates;
  }
  for (const Command& command : commands) candidates.push_back(fmt::format("{}\t{}", command.name, command.summary));
  candidates.emplace_back("--help\tthis text");
  return candidates;
}

}  // namespace

Arguments split(const std::string& text, char at) {
  Arguments parts(1);
  for (const char c : text) {
    if (c == at) parts.emplace_back();
    else parts.back() += c;
  }
  return parts;
}

int run_complete(std::span<const Command> commands, const Arguments& words) {
  if (words.empty()) return kInputWrong;
  for (const std::string& each : complete_words(commands, words))
    if (each.starts_with('\t') || each.starts_with(words.back())) fmt::print("{}\n", each);
  return kDone;
}

CommandOptions options_of_completion() {
  return {"completion", "completion SHELL",
          "Prints the script that lets SHELL, bash or zsh, complete commands, options, config keys and files of "
          "collapsar. An installed collapsar is completed without it.",
          "  collapsar completion bash > ~/.local/share/bash-completion/completions/collapsar\n"
          "  collapsar completion zsh > ~/.zsh/functions/_collapsar\n"};
}

int run_completion(const Arguments& arguments) {
  CommandOptions options = options_of_completion();
  if (!options.parse(arguments, 1, 1)) return kDone;
  const std::string& shell = options.arguments().front();
  if (shell != "bash" && shell != "zsh") throw UsageError(fmt::format("completion: {}: bash or zsh is right", shell));
  fmt::print("{}", shell == "bash" ? assets::bash_completion : assets::zsh_completion);
  return kDone;
}

}  // namespace collapsar
