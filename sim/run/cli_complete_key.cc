// Completion of config keys: one step of the path at a time, then the values where they are names.
#include <set>

#include "sim/run/cli_completion.h"
#include "sim/run/experiment_config.h"

namespace collapsar {

namespace {

// Keys of maps inside lists ("mmu.l1d[].ways") cannot be set one by one.
std::vector<KeyInfo> settable_keys() {
  std::vector<KeyInfo> keys = list_keys<ExperimentConfig>();
  std::erase_if(keys, [](const KeyInfo& key) { return key.path.find('[') != std::string::npos; });
  keys.push_back({"base", "file", "", "a config to build on: an installed machine"});
  return keys;
}

// "kernel.khu" -> "kernel.khugepaged." and, for a key that ends there, the key with `end` behind it.
Arguments next_steps(const std::vector<KeyInfo>& keys, const std::string& word, const char* end) {
  std::set<std::string> steps;
  Arguments candidates;
  for (const KeyInfo& key : keys) {
    if (!key.path.starts_with(word)) continue;
    const std::size_t dot = key.path.find('.', word.size());
    const std::string step = dot == std::string::npos ? key.path + end : key.path.substr(0, dot + 1);
    if (steps.insert(step).second) candidates.push_back(dot == std::string::npos ? step + "\t" + key.help : step);
  }
  return candidates;
}

// Of a type "always|madvise|never".
Arguments values_of(const KeyInfo& key) {
  if (key.path == "base") {
    Arguments names;
    for (const auto& [name, comment] : installed_machines()) names.push_back(name);
    return names;
  }
  if (key.type.find('|') == std::string::npos || key.type.find(' ') != std::string::npos) return {};
  return split(key.type, '|');
}

}  // namespace

Arguments complete_assignment(const std::string& word, bool may_list) {
  const std::vector<KeyInfo> keys = settable_keys();
  const std::size_t equals = word.find('=');
  if (equals == std::string::npos) return next_steps(keys, word, "=");
  const std::size_t comma = may_list ? word.rfind(',') : std::string::npos;
  const std::string before = word.substr(0, comma != std::string::npos && comma > equals ? comma + 1 : equals + 1);
  Arguments candidates;
  for (const KeyInfo& key : keys)
    if (key.path == word.substr(0, equals))
      for (const std::string& value : values_of(key)) candidates.push_back(before + value);
  return candidates;
}

Arguments complete_key(const std::string& word) { return next_steps(list_keys<ExperimentConfig>(), word, ""); }

}  // namespace collapsar
