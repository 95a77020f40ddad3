// Validation: an experiment, and what of its result is held against figures that were measured or published.
//
// Models:      the key `validation:` of a config: a list of quantities, each an expression over the stats of the
//              variants, the reference, how far off it may be (the mark), and the source of the reference.
// Errors:      ConfigError for a file that is wrong; a mark that is missed is a result.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/core/config.h"
#include "sim/run/experiment.h"

namespace collapsar {

// How near to the reference the value must be: "15 %", "0.1 points", "exact", "0.29 to 0.58", "none".
struct Mark {
  enum class Kind : std::uint8_t { none, exact, percent, points, range };
  Kind kind = Kind::none;
  double width = 0, low = 0, high = 0;
  std::string text = "none";
  bool is_met(double ours, double reference) const;
};

template <>
struct ScalarText<Mark> {
  static Mark parse(std::string_view text);
  static std::string print(const Mark& mark) { return mark.text; }
  static constexpr std::string_view expected = "15 %, 0.1 points, exact, 1.2 to 3.4 or none";
};

struct Formula {
  std::string text;
};

template <>
struct ScalarText<Formula> {
  static Formula parse(std::string_view text);
  static std::string print(const Formula& formula) { return formula.text; }
  static constexpr std::string_view expected = "expression";
};

struct QuantityConfig {
  std::string name, unit;
  Formula ours, reference;
  Mark mark;
  std::string source;
  template <class V>
  void describe(V& v) {
    v("name", name, "what is compared");
    v("unit", unit, "of both values");
    v("ours", ours, "expression over stats of variants: mmu.walks@4k / refs@4k");
    v("reference", reference, "the value to be met; names no stats");
    v("mark", mark, "15 % | 0.1 points (of the unit) | exact | 1.2 to 3.4 | none (shown, not judged)");
    v("source", source, "of the reference, in a few words");
  }
  void validate() const;
};

struct ValidationConfig {
  std::string about;
  std::vector<QuantityConfig> quantities;
  template <class V>
  void describe(V& v) {
    v("about", about, "heading of the table");
    v("quantities", quantities, "what is compared");
  }
  void validate() const;
};

struct QuantityRow {
  QuantityConfig quantity;
  double ours = 0, reference = 0;
  std::optional<bool> is_met;  // none: there is no mark
};

struct ValidationResult {
  std::string name, about;
  std::vector<QuantityRow> rows;
};

// Takes `validation:` out of a config. Throws ConfigError if it is wrong in itself; none: there is no such key.
std::optional<ValidationConfig> take_validation(ConfigNode& config);

// Runs the experiment of one validation file. Throws ConfigError, TraceError, SimulationError.
ValidationResult run_validation(const std::string& file, const RunOptions& options);

std::string validation_table(const ValidationResult& result);
// "27 of 28 marks met (...)", over all results.
std::string validation_summary(const std::vector<ValidationResult>& results);

}  // namespace collapsar
