#include "sim/core/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <span>
#include <stdexcept>

namespace collapsar {

namespace {

__extension__ typedef unsigned __int128 Wide;

struct Unit {
  std::string_view name;
  std::uint64_t size;
};
// From the smallest up; the printers choose among the first so many.
constexpr std::array<Unit, 7> kTimeUnits{{{"ps", 1},
                                          {"ns", 1'000},
                                          {"us", 1'000'000},
                                          {"ms", 1'000'000'000},
                                          {"s", 1'000'000'000'000},
                                          {"min", 60'000'000'000'000},
                                          {"h", 3'600'000'000'000'000}}};
constexpr std::size_t kPrintedTimeUnits = 5;  // 90 s read better than 1.5 min
constexpr std::array<Unit, 5> kByteUnits{{{"B", 1}, {"KiB", kKiB}, {"MiB", kMiB}, {"GiB", kGiB}, {"TiB", kTiB}}};
constexpr std::array<Unit, 5> kCountUnits{
    {{"", 1}, {"k", 1'000}, {"M", 1'000'000}, {"G", 1'000'000'000}, {"T", 1'000'000'000'000}}};
constexpr int kMaxFractionDigits = 18;  // what a 64-bit power of ten holds

// Units of measured rates: a power of ten, then a power of two.
struct RateUnit {
  std::string_view name;
  int decimal;
  int binary;
};
constexpr std::array<RateUnit, 4> kFrequencyUnits{{{"Hz", 0, 0}, {"kHz", 3, 0}, {"MHz", 6, 0}, {"GHz", 9, 0}}};
constexpr std::array<RateUnit, 9> kBandwidthUnits{{{"B/s", 0, 0},
                                                   {"kB/s", 3, 0},
                                                   {"MB/s", 6, 0},
                                                   {"GB/s", 9, 0},
                                                   {"TB/s", 12, 0},
                                                   {"KiB/s", 0, 10},
                                                   {"MiB/s", 0, 20},
                                                   {"GiB/s", 0, 30},
                                                   {"TiB/s", 0, 40}}};
constexpr std::size_t kPrintedBandwidthUnits = 5;

[[noreturn]] void refuse(std::string_view found, std::string_view message) {
  throw std::invalid_argument(fmt::format("{} {}", found.empty() ? "nothing" : found, message));
}

bool is_digit(char c) { return '0' <= c && c <= '9'; }

// "1_000.5ms" in its parts; underscores between digits are dropped.
struct Number {
  std::string whole, fraction;
  std::string_view unit;
};

std::string take_digits(std::string_view& rest) {
  std::string digits;
  std::size_t i = 0;
  for (; i < rest.size(); ++i) {
    if (is_digit(rest[i])) digits += rest[i];
    else if (rest[i] != '_' || i == 0 || i + 1 == rest.size() || !is_digit(rest[i - 1]) || !is_digit(rest[i + 1]))
      break;
  }
  rest.remove_prefix(i);
  return digits;
}

Number split_number(std::string_view text, std::string_view example) {
  const auto not_a_number = [&] { refuse(text, fmt::format("is not a number; write for example {}", example)); };
  if (!text.empty() && text[0] == '-') refuse(text, fmt::format("is negative; write for example {}", example));
  Number number;
  std::string_view rest = text;
  number.whole = take_digits(rest);
  if (number.whole.empty()) not_a_number();
  if (!rest.empty() && rest[0] == '.') {
    rest.remove_prefix(1);
    number.fraction = take_digits(rest);
    if (number.fraction.empty()) not_a_number();
  }
  number.unit = rest;
  if (number.whole.size() > 1 && number.whole[0] == '0') {  // YAML readers would take 010 for 8
    const std::string_view tail = text.substr(std::min(text.find_first_not_of("0_"), text.size()));
    const bool digits_left = !tail.empty() && is_digit(tail[0]);
    refuse(text, fmt::format("starts with 0; write {}{}", digits_left ? "" : "0", tail));
  }
  return number;
}

template <class Units>
std::string names_of(const Units& units) {
  std::string names;
  for (const auto& unit : units)
    if (!unit.name.empty()) names += (names.empty() ? "" : " ") + std::string(unit.name);
  return names;
}

template <class Units>
const auto& find_unit(std::string_view text, std::string_view name, const Units& units) {
  for (const auto& unit : units)
    if (unit.name == name) return unit;
  refuse(text, fmt::format("has an unknown unit {}; units are {}", name, names_of(units)));
}

// number x unit, exact; refuses what is no whole number of the smallest unit or does not fit.
std::uint64_t scale(std::string_view text, const Number& number, std::uint64_t unit, std::string_view smallest,
                    std::uint64_t limit) {
  const auto too_large = [&] { refuse(text, fmt::format("is too large; the most is {}{}", limit, smallest)); };
  Wide value = 0;
  for (char digit : number.whole) {
    value = value * 10 + unsigned(digit - '0');
    if (value > limit) too_large();
  }
  value *= unit;
  std::string fraction = number.fraction;
  while (!fraction.empty() && fraction.back() == '0') fraction.pop_back();
  const auto not_whole = [&] {
    refuse(text, fmt::format("is not a whole number{}{}", smallest.empty() ? "" : " of ", smallest));
  };
  if (fraction.size() > kMaxFractionDigits) not_whole();
  Wide part = 0, ten_power = 1;
  for (char digit : fraction) part = part * 10 + unsigned(digit - '0'), ten_power *= 10;
  part *= unit;
  if (part % ten_power != 0) not_whole();
  value += part / ten_power;
  if (value > limit) too_large();
  return static_cast<std::uint64_t>(value);
}

double parse_rate(std::string_view text, std::span<const RateUnit> units, std::string_view example,
                  std::string_view no_unit_advice) {
  if (text == "0") return 0;
  const Number number = split_number(text, example);
  if (number.unit.empty()) refuse(text, fmt::format("has no unit; {}", no_unit_advice));
  const RateUnit& unit = find_unit(text, number.unit, units);
  const std::string digits =
      fmt::format("{}.{}e{}", number.whole, number.fraction.empty() ? "0" : number.fraction, unit.decimal);
  double value = 0;
  const auto end = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (end.ec != std::errc{}) refuse(text, "does not fit a double");
  return std::ldexp(value, unit.binary);
}

// Shifts the decimal point of the shortest digits, so that nothing is rounded twice.
std::string print_rate(double value, std::span<const RateUnit> units) {
  if (value == 0) return "0";
  std::array<char, 32> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::scientific);
  const std::string_view text(buffer.data(), static_cast<std::size_t>(end.ptr - buffer.data()));
  const std::size_t e = text.find('e');
  std::string digits(text.substr(0, 1));
  if (e > 2) digits += text.substr(2, e - 2);
  int exponent = 0;
  const char* first = text.data() + e + 1 + (text[e + 1] == '+');
  std::from_chars(first, text.data() + text.size(), exponent);

  const RateUnit* unit = &units[0];
  for (const RateUnit& larger : units)
    if (larger.decimal <= exponent) unit = &larger;
  const int point = exponent - unit->decimal + 1;  // digits in front of the decimal point
  if (point <= 0) digits.insert(0, static_cast<std::size_t>(1 - point), '0');
  const std::size_t whole = static_cast<std::size_t>(std::max(point, 1));
  if (digits.size() < whole) digits.append(whole - digits.size(), '0');
  if (digits.size() > whole) digits.insert(whole, ".");
  return digits + std::string(unit->name);
}

// The largest unit in which `value` has at most three digits behind the point.
std::string print_exact(std::uint64_t value, std::span<const Unit> units) {
  if (value == 0) return "0";
  for (auto unit = units.rbegin(); unit != units.rend(); ++unit) {
    const Wide thousandths = Wide{value % unit->size} * 1000;
    if (value < unit->size || thousandths % unit->size != 0) continue;
    std::string text = fmt::format("{}", value / unit->size);
    if (thousandths != 0) {
      text += fmt::format(".{:03}", static_cast<std::uint64_t>(thousandths / unit->size));
      while (text.back() == '0') text.pop_back();
    }
    return text + std::string(unit->name);
  }
  return fmt::format("{}{}", value, units[0].name);
}

std::string with_byte_unit(std::string_view text, const Number& number) {
  if (!number.fraction.empty()) return fmt::format("{}KiB or {}MiB", text, text);
  const std::uint64_t bytes = scale(text, number, 1, "B", ~0ULL);
  if (bytes < kKiB || bytes % kKiB != 0) return fmt::format("{}B, {}KiB or {}MiB", text, text, text);
  return fmt::format("{} or {}B", to_text(Bytes{bytes}), text);
}

std::uint64_t parse_hex(std::string_view text) {
  std::uint64_t value = 0;
  const char* last = text.data() + text.size();
  const auto end = std::from_chars(text.data() + 2, last, value, 16);
  if (end.ec == std::errc::result_out_of_range) refuse(text, "is too large; the most is 0xffffffffffffffff");
  if (text.size() == 2 || end.ptr != last) refuse(text, "is not a hexadecimal number; write for example 0x10");
  return value;
}

}  // namespace

std::string_view suffix(PageSize size) {
  switch (size) {
    case PageSize::k4K: return "4k";
    case PageSize::k2M: return "2m";
    case PageSize::k1G: return "1g";
  }
  return "";
}

// Starts at the estimate and corrects the rounding of the division.
Duration parse_duration(std::string_view text) {
  if (text == "0") return Duration::zero();
  const Number number = split_number(text, "10ms");
  if (number.unit.empty()) refuse(text, fmt::format("has no unit; write {}ns or {}ms", text, text));
  const Unit& unit = find_unit(text, number.unit, kTimeUnits);
  constexpr std::uint64_t kLimit = std::numeric_limits<std::int64_t>::max();
  return Duration(static_cast<std::int64_t>(scale(text, number, unit.size, "ps", kLimit)));
}

Bytes parse_bytes(std::string_view text) {
  if (text == "0") return {0};
  const Number number = split_number(text, "64KiB");
  if (number.unit.empty()) refuse(text, fmt::format("has no unit; write {}", with_byte_unit(text, number)));
  return {scale(text, number, find_unit(text, number.unit, kByteUnits).size, "B", ~0ULL)};
}

Frequency parse_frequency(std::string_view text) {
  return {parse_rate(text, kFrequencyUnits, "2.6GHz", fmt::format("write {}MHz or {}GHz", text, text))};
}

Bandwidth parse_bandwidth(std::string_view text) {
  return {parse_rate(text, kBandwidthUnits, "3GB/s", fmt::format("write {}MB/s or {}GB/s", text, text))};
}

std::uint64_t parse_count(std::string_view text) {
  if (text.starts_with("0x") || text.starts_with("0X")) return parse_hex(text);
  const Number number = split_number(text, "4096 or 200M");
  return scale(text, number, find_unit(text, number.unit, kCountUnits).size, "", ~0ULL);
}

std::string to_text(Duration d) {
  if (d < Duration::zero()) return fmt::format("{}ps", d.count());
  return print_exact(static_cast<std::uint64_t>(d.count()), std::span(kTimeUnits).first(kPrintedTimeUnits));
}
std::string to_text(Bytes b) { return print_exact(b.value, kByteUnits); }
std::string to_text(Frequency f) { return print_rate(f.hertz, kFrequencyUnits); }
std::string to_text(Bandwidth b) {
  return print_rate(b.bytes_per_second, std::span(kBandwidthUnits).first(kPrintedBandwidthUnits));
}
std::string to_hex(std::uint64_t value) { return fmt::format("{:#x}", value); }

}  // namespace collapsar
