#include "sim/run/validation.h"

#include <charconv>
#include <cmath>

#include "sim/run/expression.h"

namespace collapsar {

namespace {

// Reads a number of at least 0 from the front of `text`, and the spaces behind it.
double take_number(std::string_view& text) {
  double value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (read.ec != std::errc() || value < 0)
    throw std::invalid_argument(fmt::format("found {}; write {}", text, ScalarText<Mark>::expected));
  text.remove_prefix(std::size_t(read.ptr - text.data()));
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  return value;
}

double number_of(const Formula& formula) {
  return evaluate(formula.text, [](std::string_view name) -> double {
    throw std::invalid_argument(fmt::format("reference: {}; a reference is made of numbers alone", name));
  });
}

// A field of a histogram: "faults.stall_ns.p50".
std::optional<double> histogram_field(const StatTable& stats, std::string_view path) {
  const std::size_t dot = path.rfind('.');
  const StatRow* row = dot == path.npos ? nullptr : stats.find(path.substr(0, dot));
  if (!row || !row->histogram) return std::nullopt;
  const std::string_view field = path.substr(dot + 1);
  if (field == "mean") return row->histogram->mean();
  if (field == "sum") return double(row->histogram->sum());
  if (field == "max") return double(row->histogram->max());
  if (field == "p50") return double(row->histogram->percentile(50));
  if (field == "p99") return double(row->histogram->percentile(99));
  return std::nullopt;
}

// What a name of an expression stands for.
class Names {
 public:
  explicit Names(const ExperimentResult& result) : result_(result) {}

  double operator()(std::string_view name) const {
    const std::size_t at = name.find('@');
    const VariantResult& variant = at == name.npos ? result_.base() : variant_of(name.substr(at + 1));
    const std::string_view path = name.substr(0, at);
    if (const StatRow* row = variant.stats.find(path)) return row->value();
    if (const std::optional<double> field = histogram_field(variant.stats, path)) return *field;
    throw std::invalid_argument(fmt::format("{}: no such number in the result{}", path, guess(variant.stats, path)));
  }

 private:
  const VariantResult& variant_of(std::string_view name) const {
    for (const VariantResult& variant : result_.variants)
      if (variant.name == name) return variant;
    throw std::invalid_argument(fmt::format("@{}: no such variant", name));
  }
  static std::string guess(const StatTable& stats, std::string_view path) {
    std::vector<std::string> paths;
    for (const StatRow& row : stats) paths.push_back(row.path);
    const std::string near = closest(path, paths);
    return near.empty() ? "" : "; did you mean " + near + "?";
  }
  const ExperimentResult& result_;
};

// Before the run, which may take long: every variant that a quantity names is there.
void check_variants(const ValidationConfig& validation, const Experiment& experiment) {
  for (const QuantityConfig& quantity : validation.quantities)
    for (const std::string& name : names_in(quantity.ours.text)) {
      const std::size_t at = name.find('@');
      if (at == name.npos) continue;
      std::vector<std::string> known;
      for (const Variant& variant : experiment.variants) known.push_back(variant.name);
      if (std::find(known.begin(), known.end(), name.substr(at + 1)) != known.end()) continue;
      throw ConfigError(fmt::format("validation: {}: @{}: unknown variant (known here: {})", quantity.name,
                                    name.substr(at + 1), fmt::join(known, ", ")));
    }
}

QuantityRow judge(const QuantityConfig& quantity, const Names& names) {
  QuantityRow row{quantity, 0, number_of(quantity.reference), {}};
  try {
    row.ours = evaluate(quantity.ours.text, names);
  } catch (const std::invalid_argument& error) {
    throw ConfigError(fmt::format("validation: {}: ours: {}", quantity.name, error.what()));
  }
  if (quantity.mark.kind != Mark::Kind::none) row.is_met = quantity.mark.is_met(row.ours, row.reference);
  return row;
}

}  // namespace

bool Mark::is_met(double ours, double reference) const {
  switch (kind) {
    case Kind::none: return true;
    case Kind::exact: return ours == reference;
    case Kind::percent: return std::abs(ours - reference) <= std::abs(reference) * width / 100;
    case Kind::points: return std::abs(ours - reference) <= width;
    case Kind::range: return ours >= low && ours <= high;
  }
  return false;
}

Mark ScalarText<Mark>::parse(std::string_view text) {
  Mark mark;
  mark.text = text;
  if (text == "none") return mark;
  mark.kind = Mark::Kind::exact;
  if (text == "exact") return mark;
  const double first = take_number(text);
  if (text.starts_with("to ")) {
    text.remove_prefix(3);
    mark.kind = Mark::Kind::range, mark.low = first, mark.high = take_number(text);
    if (text.empty() && mark.low <= mark.high) return mark;
  }
  mark.kind = text == "%" ? Mark::Kind::percent : Mark::Kind::points, mark.width = first;
  if (text == "%" || text == "points") return mark;
  throw std::invalid_argument(fmt::format("found {}; write {}", mark.text, expected));
}

Formula ScalarText<Formula>::parse(std::string_view text) {
  names_in(text);
  return {std::string(text)};
}

void QuantityConfig::validate() const {
  if (name.empty()) throw std::invalid_argument("name: missing; say what is compared");
  for (const auto& [key, text] : {std::pair{"ours", &ours.text}, {"reference", &reference.text}, {"source", &source}})
    if (text->empty()) throw std::invalid_argument(fmt::format("{}: missing in {}", key, name));
  number_of(reference);
}

void ValidationConfig::validate() const {
  if (quantities.empty()) throw std::invalid_argument("quantities: none; name at least one");
}

std::optional<ValidationConfig> take_validation(ConfigNode& config) {
  const ConfigNode* node = config.child("validation");
  if (!node) return std::nullopt;
  ValidationConfig validation;
  read_config(*node, validation, "validation");
  config.erase("validation");
  return validation;
}

ValidationResult run_validation(const std::string& file, const RunOptions& options) {
  ConfigNode config = load_config_layers(file, options.search_dirs).config;
  const std::optional<ValidationConfig> validation = take_validation(config);
  if (!validation) throw ConfigError(fmt::format("{}: no `validation:`; nothing to hold a result against", file));
  config = load_experiment(file, {}, options.search_dirs);
  const Experiment experiment = resolve_experiment(config, {}, options.search_dirs);
  check_variants(*validation, experiment);
  const ExperimentResult result = run_experiment(config, options);
  ValidationResult judged{experiment.config.name, validation->about, {}};
  for (const QuantityConfig& quantity : validation->quantities) judged.rows.push_back(judge(quantity, Names(result)));
  return judged;
}

}  // namespace collapsar
