#include "sim/run/experiment_config.h"

#include <filesystem>

#include "sim/run/validation.h"

namespace collapsar {

namespace fs = std::filesystem;

namespace {

// Keys that make sense only for the whole experiment.
constexpr std::array<std::string_view, 3> kNotInVariants{"name", "variants", "baseline"};

void refuse_whole_experiment_keys(const ConfigNode& variant, const std::string& path) {
  for (std::string_view key : kNotInVariants)
    if (const ConfigNode* node = variant.child(key))
      config_error(node->key_place, join_path(path, key),
                   "belongs to the whole experiment; a variant cannot change it");
}

[[noreturn]] void rule(const std::string& message) { throw std::invalid_argument(message); }

ConfigNode without_variants(ConfigNode config) {
  config.erase("variants");
  config.erase("baseline");
  return config;
}

Variant make_variant(const ConfigNode& common, const ExperimentConfig& base, const ConfigNode& node,
                     const std::vector<std::string>& search_dirs) {
  const std::string path = join_path("variants", node.key);
  if (!node.is_map()) wrong_kind(node, path, "a map of what the variant changes");
  ConfigNode over = expand_base(node, search_dirs).config;
  over.key.clear();
  refuse_whole_experiment_keys(over, path);
  ConfigNode merged = common;
  merged.merge(std::move(over));
  Variant variant{node.key, {}, {}};
  variant.config.name = base.name;
  read_config(merged, variant.config);
  variant.changes =
      config_difference(without_variants(write_config(base)), without_variants(write_config(variant.config)));
  return variant;
}

std::vector<std::string> names_of(const ConfigNode& variants) {
  std::vector<std::string> names;
  for (const ConfigNode& child : variants.children) names.push_back(child.key);
  return names;
}

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

void refuse_unknown_variants(const std::vector<std::string>& only, const std::vector<std::string>& known) {
  for (const std::string& name : only) {
    if (contains(known, name)) continue;
    const std::string guess = closest(name, known);
    throw ConfigError(fmt::format("--variant {}: unknown variant (known here: {}){}", name, fmt::join(known, ", "),
                                  guess.empty() ? "" : "; did you mean " + guess + "?"));
  }
}

std::string pick_baseline(const ConfigNode& config, const std::string& asked, const std::vector<std::string>& known,
                          const std::vector<Variant>& chosen) {
  if (!asked.empty() && !contains(known, asked))
    config_error(config.child("baseline")->place, "baseline",
                 fmt::format("found {}; choose one of the variants: {}", asked, fmt::join(known, ", ")));
  const std::string wanted = asked.empty() ? "never" : asked;
  for (const Variant& variant : chosen)
    if (variant.name == wanted) return wanted;
  return chosen.front().name;
}

// "redis" for configs/redis.yaml, redis.ctr and redis.mtp.zst.
void name_after(ConfigNode& config, const std::string& file) {
  if (config.child("name")) return;
  static constexpr std::array<std::string_view, 6> kEndings{".yaml", ".yml", ".zst", ".mtp", ".ctr", ".lackey"};
  fs::path name = fs::path(file).filename();
  while (std::find(kEndings.begin(), kEndings.end(), name.extension()) != kEndings.end()) name = name.stem();
  config.set("name", write_text(name));
}

constexpr std::string_view kSet = "--set";  // where parse_set() says that it was written

void give_option(ConfigNode& node, const std::string& option) {
  for (Place* place : {&node.place, &node.key_place})
    if (place->file.starts_with(kSet)) place->file.replace(0, kSet.size(), option);
  for (ConfigNode& child : node.children) give_option(child, option);
}

ConfigNode absolute_files(const TraceConfig& trace) {
  ConfigNode files = ConfigNode::list();
  for (const FilePath& file : trace.file) files.children.push_back(write_text(fs::absolute(file.resolved()).string()));
  return files;
}

// A level is looked up after the one before it, and has its latency in its own.
void refuse_latencies_that_fall(const CachesConfig& caches) {
  std::pair<const char*, std::uint32_t> before{"l1d", caches.l1d.latency};
  for (const auto& [name, level] : {std::pair{"l2", &caches.l2}, {"l3", &caches.l3}}) {
    if (!*level) continue;
    if ((*level)->latency < before.second)
      rule(fmt::format("caches.{}.latency: {}; latencies are total, so at least the {} of {}", name, (*level)->latency,
                       before.second, before.first));
    before = {name, (*level)->latency};
  }
}

void refuse_inclusion_without_room(const CachesConfig& caches, std::uint32_t cpus) {
  if (!caches.l3 || !caches.l3->inclusive) return;
  const std::uint64_t held =
      (caches.l2 ? caches.l2->size.value : caches.l1d.size.value) * (caches.l3->shared ? cpus : 1);
  if (caches.l3->size.value < held)
    rule(fmt::format("caches.l3.size: {}; inclusive, it holds what the levels above hold: at least {}",
                     to_text(caches.l3->size), to_text(Bytes{held})));
}

}  // namespace

void TraceConfig::validate() const {
  if (!file.empty() && !synthetic.empty()) rule("synthetic: the trace has a file already; choose one of the two");
  if (replay.repeat == 0) rule("repeat: 0; at least 1");
}

void OutputConfig::validate() const {
  if (interval <= Duration{}) rule("interval: 0; a step needs a length");
}

void ExperimentConfig::validate() const {
  const CpuId khugepaged_cpu = kernel.khugepaged.cpu.cpu;
  if (khugepaged_cpu != kNoCpu && khugepaged_cpu >= cpu.count)
    rule(fmt::format("kernel.khugepaged.cpu: {}; there are {} CPUs, numbered from 0; or write dedicated",
                     khugepaged_cpu, cpu.count));
  if (mmu.walk_entry == WalkEntry::l2 && caches && !caches->l2)
    rule("mmu.walk_entry: l2, but there is no caches.l2; write l1d");
  if (caches) refuse_latencies_that_fall(*caches), refuse_inclusion_without_room(*caches, cpu.count);
  if (!variants.is_map() || variants.children.empty()) rule("variants: none; name at least one, as `plain: {}`");
}

ConfigNode ExperimentConfig::default_variants() {
  return parse_yaml(
      "never:      {kernel.thp.enabled: never}\n"
      "khugepaged: {kernel.thp.enabled: always, kernel.thp.at_fault: false}\n"
      "always:     {kernel.thp.enabled: always}\n",
      "(default variants)");
}

ConfigNode config_difference(const ConfigNode& base, const ConfigNode& changed) {
  ConfigNode difference = ConfigNode::map();
  for (const ConfigNode& child : changed.children) {
    const ConfigNode* before = base.child(child.key);
    if (before && *before == child) continue;
    ConfigNode part = before && before->is_map() && child.is_map() ? config_difference(*before, child) : child;
    part.key = child.key;
    difference.children.push_back(std::move(part));
  }
  return difference;
}

ConfigNode Experiment::effective() const {
  ExperimentConfig shown = config;
  for (FilePath& file : shown.trace.file) file.text = fs::path(file.text).filename().string();
  shown.baseline = baseline;
  shown.variants = ConfigNode::map();
  for (const Variant& variant : variants) {
    ConfigNode changes = variant.changes;
    changes.key = variant.name;
    shown.variants.children.push_back(std::move(changes));
  }
  return write_config(shown);
}

ConfigNode Experiment::portable() const {
  ConfigNode all = effective();
  if (!config.trace.file.empty()) all.set("trace.file", absolute_files(config.trace));
  for (const Variant& variant : variants)
    if (variant.changes.find("trace.file"))
      all.child("variants")->child(variant.name)->set("trace.file", absolute_files(variant.config.trace));
  return all;
}

void apply_sets(ConfigNode& config, const std::vector<std::string>& sets, const std::vector<std::string>& search_dirs,
                const std::string& option) {
  const auto touches_variants = [](const ConfigNode& set) { return set.child("variants") != nullptr; };
  for (const std::string& text : sets) {
    ConfigNode set = parse_assignment(text, option);
    set = expand_base(set, search_dirs).config;
    if (touches_variants(set) && !config.child("variants"))
      config.set("variants", ExperimentConfig::default_variants());
    config.merge(set);
  }
}

ConfigNode parse_assignment(const std::string& text, const std::string& option) {
  try {
    ConfigNode set = parse_set(text);
    give_option(set, option);
    return set;
  } catch (const ConfigError& error) {
    throw ConfigError(option + std::string(error.what()).substr(kSet.size()));
  }
}

ConfigNode load_experiment(const std::string& file, const std::vector<std::string>& sets,
                           const std::vector<std::string>& search_dirs) {
  ConfigNode config = load_config_layers(file, search_dirs).config;
  if (!config.is_map()) wrong_kind(config, "", "a map");
  take_validation(config);
  name_after(config, file);
  apply_sets(config, sets, search_dirs);
  return config;
}

ConfigNode experiment_of_trace(const std::vector<std::string>& files, const std::vector<std::string>& sets,
                               const std::vector<std::string>& search_dirs) {
  ConfigNode config = ConfigNode::map(), list = ConfigNode::list();
  for (const std::string& file : files) list.children.push_back(write_text(file));
  config.set("trace.file", std::move(list));
  name_after(config, files.front());
  apply_sets(config, sets, search_dirs);
  return config;
}

Experiment resolve_experiment(const ConfigNode& config, const std::vector<std::string>& only,
                              const std::vector<std::string>& search_dirs) {
  ConfigNode expanded = expand_base(config, search_dirs).config;
  Experiment experiment;
  read_config(expanded, experiment.config);
  const ConfigNode variants = experiment.config.variants;
  const std::vector<std::string> known = names_of(variants);
  refuse_unknown_variants(only, known);
  const ConfigNode common = without_variants(expanded);
  for (const ConfigNode& node : variants.children)
    if (only.empty() || contains(only, node.key))
      experiment.variants.push_back(make_variant(common, experiment.config, node, search_dirs));
  experiment.baseline = pick_baseline(expanded, experiment.config.baseline, known, experiment.variants);
  return experiment;
}

}  // namespace collapsar
