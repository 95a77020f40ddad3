// How much of the attainable gain each policy gets: page-walk cycles saved, beside those that the oracle saves.
#include <algorithm>

#include "sim/run/report.h"
#include "sim/run/report_format.h"

namespace collapsar {

namespace {

bool follows_oracle(const VariantResult& variant) {
  return variant.facts.khugepaged.policy == CollapsePolicy::oracle && variant.facts.thp.enabled != ThpEnabled::never;
}

double walk_cycles(const VariantResult& variant) {
  const StatRow* row = variant.stats.find("mmu.walk_cycles");
  return row ? row->value() : 0;
}

std::string signed_count(double n) { return (n < 0 ? "-" : "") + with_separators(std::uint64_t(n < 0 ? -n : n)); }

struct Gain {
  const VariantResult* variant;
  double saved;
};

std::string line_of(const Gain& gain, double base, double oracle, std::size_t name_width, std::size_t count_width) {
  return fmt::format(
      "  {}  {}  {}  {}\n", pad_right(gain.variant->name, name_width), pad_left(signed_count(gain.saved), count_width),
      pad_left(base > 0 ? readable_share(gain.saved / base) : "-", 8),
      oracle > 0 ? readable_share(gain.saved / oracle) + " of the oracle's" : "the oracle saves nothing");
}

}  // namespace

std::string gain_report(const ExperimentResult& result) {
  const double base = walk_cycles(result.base());
  std::vector<Gain> gains;
  double oracle = 0;
  bool has_oracle = false;
  std::size_t name_width = 0, count_width = 0;
  for (const VariantResult& variant : result.variants) {
    if (&variant == &result.base()) continue;
    gains.push_back({&variant, base - walk_cycles(variant)});
    if (follows_oracle(variant)) has_oracle = true, oracle = std::max(oracle, gains.back().saved);
    name_width = std::max(name_width, variant.name.size());
    count_width = std::max(count_width, signed_count(gains.back().saved).size());
  }
  if (!has_oracle) return "";
  std::string out = fmt::format("Page-walk cycles saved against {}\n", result.baseline);
  for (const Gain& gain : gains) out += line_of(gain, base, oracle, name_width, count_width);
  return out;
}

}  // namespace collapsar
