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

constexpr std::size_t kColumnCount = 7;
using ValidationCells = std::array<std::string, kColumnCount>;

ValidationCells cells_of(const QuantityRow& row) {
  const std::string unit = row.quantity.unit.empty() ? "" : " " + row.quantity.unit;
  return {row.quantity.name, number(row.reference) + unit, number(row.ours) + unit, error_of(row), mark_of(row),
          verdict_of(row),   row.quantity.source};
}

}  // namespace

std::string validation_table(const ValidationResult& result) {
  std::vector<ValidationCells> table{{"", "reference", "ours", "error", "mark", "", "source of the reference"}};
  for (const QuantityRow& row : result.rows) table.push_back(cells_of(row));
  std::array<std::size_t, kColumnCount> widths{};
  for (const ValidationCells& cells : table)
    for (std::size_t i = 0; i < kColumnCount; ++i) widths[i] = std::max(widths[i], cells[i].size());
  std::string out = result.name + (result.about.empty() ? "" : ": " + result.about) + "\n";
  for (const ValidationCells& cells : table) {
    std::string line = "  " + pad_right(cells[0], widths[0]);
    for (std::size_t i = 1; i < kColumnCount; ++i)
      line += "  " + (i <= 3 ? pad_left(cells[i], widths[i]) : pad_right(cells[i], widths[i]));
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
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
