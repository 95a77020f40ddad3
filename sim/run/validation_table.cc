// The validation page as a person reads it.
#include <cmath>

#include "sim/run/report_format.h"
#include "sim/run/validation.h"

namespace collapsar {

namespace {

// Whole numbers in full; else four digits or three decimals.
std::string number(double value) {
  const double magnitude = std::abs(value);
  if (value == std::round(value) || magnitude >= 1000) {
    const std::string text = with_separators(std::uint64_t(std::llround(magnitude)));
    return value < 0 ? "-" + text : text;
  }
  return fmt::format("{:.{}f}", value, magnitude >= 100 ? 1 : magnitude >= 10 ? 2 : 3);
}

std::string error_of(const QuantityRow& row) {
  const double difference = row.ours - row.reference;
  if (difference == 0) return "0";
  if (row.quantity.mark.kind == Mark::Kind::points || row.reference == 0) return fmt::format("{:+.2f}", difference);
  return fmt::format("{:+.1f} %", 100 * difference / row.reference);
}

std::string mark_of(const QuantityRow& row) {
  switch (row.quantity.mark.kind) {
    case Mark::Kind::none: return "-";
    case Mark::Kind::exact:
    case Mark::Kind::range: return row.quantity.mark.text;
    case Mark::Kind::percent:
    case Mark::Kind::points: return "within " + row.quantity.mark.text;
  }
  return "";
}

std::string verdict_of(const QuantityRow& row) { return !row.is_met ? "" : *row.is_met ? "met" : "MISSED"; }

std::vector<std::string> cells_of(const QuantityRow& row) {
  const std::string unit = row.quantity.unit.empty() ? "" : " " + row.quantity.unit;
  return {row.quantity.name, number(row.reference) + unit, number(row.ours) + unit, error_of(row), mark_of(row),
          verdict_of(row),   row.quantity.source};
}

}  // namespace

std::string validation_table(const ValidationResult& result) {
  std::vector<std::vector<std::string>> table{
      {"", "reference", "ours", "error", "mark", "", "source of the reference"}};
  for (const QuantityRow& row : result.rows) table.push_back(cells_of(row));
  return result.name + (result.about.empty() ? "" : ": " + result.about) + "\n" + aligned(table, "<>>><<<", "  ");
}

std::string validation_summary(const std::vector<ValidationResult>& results) {
  std::size_t marks = 0, met = 0, shown = 0;
  std::string missed;
  for (const ValidationResult& result : results)
    for (const QuantityRow& row : result.rows) {
      if (!row.is_met) ++shown;
      else ++marks, met += *row.is_met;
      if (row.is_met && !*row.is_met) missed += fmt::format("\nmissed: {}: {}", result.name, row.quantity.name);
    }
  return fmt::format("{} of {} marks met; {} figures shown without a mark{}\n", met, marks, shown, missed);
}

}  // namespace collapsar
