#include "sim/run/report_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace collapsar {

namespace {

// Four significant digits at most, none behind the point from 1000 on: "1.234", "12.34", "123.4", "1234".
std::string four_digits(double n) {
  const int decimals = n < 10 ? 3 : n < 100 ? 2 : n < 1000 ? 1 : 0;
  std::string text = fmt::format("{:.{}f}", n, decimals);
  if (text.find('.') == std::string::npos) return text;
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

// "+38.2", "-43.4"; what is not seen at one decimal has no sign.
std::string signed_text(double n) {
  const std::string text = fmt::format("{:+.1f}", n);
  return text == "+0.0" || text == "-0.0" ? "0.0" : text;
}

std::size_t characters(std::string_view text) {
  return std::size_t(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

}  // namespace

std::string with_separators(std::uint64_t n) {
  std::string text = std::to_string(n);
  for (std::size_t i = text.size(); i > 3; i -= 3) text.insert(i - 3, 1, ',');
  return text;
}

std::string readable_time(double ns) {
  if (ns < 1e3) return four_digits(ns) + " ns";
  if (ns < 1e6) return four_digits(ns / 1e3) + " us";
  if (ns < 1e9) return four_digits(ns / 1e6) + " ms";
  return four_digits(ns / 1e9) + " s";
}

std::string readable_bytes(std::uint64_t bytes) {
  static constexpr std::array<const char*, 5> kUnits{"B", "KiB", "MiB", "GiB", "TiB"};
  double n = double(bytes);
  std::size_t unit = 0;
  while (n >= 1024 && unit + 1 < kUnits.size()) n /= 1024, ++unit;
  return fmt::format("{} {}", four_digits(n), kUnits[unit]);
}

std::string readable_share(double share) { return fmt::format("{:.1f} %", share * 100); }

std::string readable(double value, NumberFormat format) {
  switch (format) {
    case NumberFormat::count: return with_separators(std::uint64_t(std::llround(value)));
    case NumberFormat::nanoseconds: return readable_time(value);
    case NumberFormat::bytes: return readable_bytes(std::uint64_t(value));
    case NumberFormat::share: return readable_share(value);
  }
  return "";
}

std::string readable_difference(double base, double value, NumberFormat format) {
  if (base == value) return "=";
  if (format == NumberFormat::share) return signed_text((value - base) * 100) + " pt";
  if (base == 0) return "new";
  if (value >= 10 * base) return fmt::format("x{}", four_digits(value / base));
  return signed_text((value / base - 1) * 100) + " %";
}

std::string pad_left(std::string_view text, std::size_t width) {
  const std::size_t length = characters(text);
  return std::string(length < width ? width - length : 0, ' ').append(text);
}

std::string pad_right(std::string_view text, std::size_t width) {
  const std::size_t length = characters(text);
  return std::string(text) + std::string(length < width ? width - length : 0, ' ');
}

std::string aligned(const std::vector<std::vector<std::string>>& rows, std::string_view sides,
                    std::string_view indent) {
  std::vector<std::size_t> widths(sides.size());
  for (const auto& cells : rows)
    for (std::size_t i = 0; i < cells.size() && cells.size() == widths.size(); ++i)
      widths[i] = std::max(widths[i], cells[i].size());
  std::string out;
  for (const auto& cells : rows) {
    std::string line(indent);
    for (std::size_t i = 0; i < cells.size(); ++i)
      line += (i ? "  " : "") + (sides[i] == '<' ? pad_right(cells[i], widths[i]) : pad_left(cells[i], widths[i]));
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string out = "\"";
  for (char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + '"';
}

}  // namespace collapsar
