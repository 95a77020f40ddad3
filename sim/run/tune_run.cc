#include "sim/run/tune_run.h"

namespace collapsar {

namespace {

constexpr const char* kOnly = "tuned";  // the one variant of each point

ConfigNode variants_of(const ConfigNode& config) {
  const ConfigNode* variants = config.child("variants");
  return variants ? *variants : ExperimentConfig::default_variants();
}

}  // namespace

TuneRuns::TuneRuns(const ConfigNode& config, const std::string& variant, const PointStore& store,
                   const RunOptions& options)
    : config_(config), store_(store), options_(options), identities_(options) {
  const Experiment experiment = resolve_experiment(config, {variant}, options.search_dirs);
  const ThpConfig& thp = experiment.variants.front().config.kernel.thp;
  if (thp.enabled == ThpEnabled::never)
    throw ConfigError(fmt::format("--variant {}: its kernel.thp.enabled is never: khugepaged does not run", variant));
  if (experiment.variants.front().config.kernel.khugepaged.policy != CollapsePolicy::as_linux)
    throw ConfigError(fmt::format(
        "--variant {}: its kernel.khugepaged.policy is not linux: no kernel has a knob for it to be set", variant));
  for (const auto& [name, value] : EnumNames<ThpEnabled>::names)
    if (value == thp.enabled) enabled_ = name;
  at_fault_ = thp.at_fault;
  config_.erase("baseline");
  variant_ = *variants_of(config).child(variant);
  variant_.key = kOnly;
}

Trial TuneRuns::baseline() {
  ConfigNode config = config_, variants = ConfigNode::map();
  ConfigNode& off = variants.children.emplace_back(variant_);
  off.set("kernel.thp.enabled", write_text("never"));
  config.set("variants", std::move(variants));
  return run({config}).front();
}

ConfigNode TuneRuns::config_with(const Knobs& knobs) const {
  const Rung& rung = kRungs[knobs.rung];
  ConfigNode config = config_, variants = ConfigNode::map();
  ConfigNode& tuned = variants.children.emplace_back(variant_);
  tuned.set("kernel.khugepaged.max_ptes_none", write_text(std::to_string(knobs.max_ptes_none)));
  tuned.set("kernel.khugepaged.pages_to_scan", write_text(std::to_string(rung.pages_to_scan)));
  tuned.set("kernel.khugepaged.scan_sleep", write_text(fmt::format("{}ms", rung.scan_sleep_ms)));
  config.set("variants", std::move(variants));
  return config;
}

std::vector<Trial> TuneRuns::measure(const std::vector<Knobs>& knobs) {
  std::vector<ConfigNode> configs;
  for (const Knobs& each : knobs) configs.push_back(config_with(each));
  std::vector<Trial> trials = run(configs);
  for (std::size_t i = 0; i < knobs.size(); ++i) trials[i].knobs = knobs[i];
  return trials;
}

std::vector<Trial> TuneRuns::run(const std::vector<ConfigNode>& configs) {
  Sweep sweep;
  for (const ConfigNode& config : configs) {
    SweepPoint point{{}, config, {}, 1};
    point.identity = identities_.of(resolve_experiment(config, {}, options_.search_dirs));
    sweep.points.push_back(std::move(point));
  }
  const std::vector<PointOutcome> outcomes = run_sweep(sweep, store_, options_);
  std::vector<Trial> trials;
  for (std::size_t i = 0; i < configs.size(); ++i) {
    if (outcomes[i].state == PointOutcome::State::failed) throw SimulationError(outcomes[i].error);
    trials.push_back(read_trial(store_, sweep.points[i]));
  }
  return trials;
}

}  // namespace collapsar
