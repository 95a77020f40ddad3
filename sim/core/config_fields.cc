#include "sim/core/config_fields.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <limits>

namespace collapsar {

namespace {

bool is_key_path(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z') || ('0' <= c && c <= '9') || c == '_' || c == '.' ||
           c == '[' || c == ']';
  });
}

// Where `path` is written in `map`, or else the longest part of it that is.
Place nearest_place(const ConfigNode& map, std::string_view path) {
  while (true) {
    if (const ConfigNode* node = map.find(path)) return node->place;
    const std::size_t cut = path.find_last_of(".[");
    path = cut == std::string_view::npos ? "" : path.substr(0, cut);  // the empty path is the map itself
  }
}

bool is_number_like(std::string_view text) {
  const auto is_digit = [](char c) { return '0' <= c && c <= '9'; };
  if (is_digit(text[0])) return true;
  return text.size() > 1 && std::string_view("+-.").find(text[0]) != std::string_view::npos &&
         (is_digit(text[1]) || text[1] == '.');
}

// Words to which YAML, or this program, gives a meaning of their own.
bool is_reserved_word(std::string_view text) {
  static constexpr std::array<std::string_view, 12> kWords{"true", "false", "yes",  "no",   "on",   "off",
                                                           "y",    "n",     "null", "none", ".inf", ".nan"};
  std::string lower(text);
  for (char& c : lower)
    if ('A' <= c && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return std::find(kWords.begin(), kWords.end(), lower) != kWords.end();
}

}  // namespace

std::string join_path(std::string_view path, std::string_view key) {
  return fmt::format("{}{}{}", path, path.empty() ? "" : ".", key);
}

// ---- Messages -------------------------------------------------------------------------------------------------------

void unknown_name(std::string_view found, const std::vector<std::string>& names) {
  const std::string guess = closest(found, names);
  throw std::invalid_argument(fmt::format("found {}; choose one of {}{}", found, fmt::join(names, ", "),
                                          guess.empty() ? "" : "; did you mean " + guess + "?"));
}

void wrong_kind(const ConfigNode& node, const std::string& path, const std::string& expected) {
  config_error(node.place, path, fmt::format("found {}; expected {}", node.found(), expected));
}

void broken_rule(const ConfigNode& map, const std::string& path, std::string_view message) {
  const std::size_t colon = message.find(": ");
  const std::string_view key = message.substr(0, colon);
  if (colon == std::string_view::npos || !is_key_path(key)) config_error(map.place, path, message);
  config_error(nearest_place(map, key), join_path(path, key), message.substr(colon + 2));
}

void refuse_unknown_keys(const ConfigNode& map, const std::string& path, const std::vector<std::string>& known) {
  for (const ConfigNode& child : map.children) {
    if (std::find(known.begin(), known.end(), child.key) != known.end()) continue;
    const std::string guess = closest(child.key, known);
    config_error(child.key_place, join_path(path, child.key),
                 fmt::format("unknown key (known here: {}){}", fmt::join(known, ", "),
                             guess.empty() ? "" : "; did you mean " + guess + "?"));
  }
}

// ---- Scalars --------------------------------------------------------------------------------------------------------

bool ScalarText<bool>::parse(std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  throw std::invalid_argument(fmt::format("found {}; write true or false", text));
}
std::string ScalarText<bool>::print(const bool& value) { return value ? "true" : "false"; }

std::uint64_t ScalarText<std::uint64_t>::parse(std::string_view text) { return parse_count(text); }
std::string ScalarText<std::uint64_t>::print(const std::uint64_t& value) { return fmt::format("{}", value); }

std::uint32_t ScalarText<std::uint32_t>::parse(std::string_view text) {
  const std::uint64_t value = parse_count(text);
  constexpr std::uint32_t kMost = std::numeric_limits<std::uint32_t>::max();
  if (value > kMost) throw std::invalid_argument(fmt::format("{} is too large; the most is {}", text, kMost));
  return static_cast<std::uint32_t>(value);
}
std::string ScalarText<std::uint32_t>::print(const std::uint32_t& value) { return fmt::format("{}", value); }

std::int64_t ScalarText<std::int64_t>::parse(std::string_view text) {
  const bool negative = text.starts_with('-');
  const std::uint64_t size = parse_count(negative ? text.substr(1) : text);
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  if (size > static_cast<std::uint64_t>(kMost))
    throw std::invalid_argument(fmt::format("{} is too large; the range is -{} to {}", text, kMost, kMost));
  return negative ? -static_cast<std::int64_t>(size) : static_cast<std::int64_t>(size);
}
std::string ScalarText<std::int64_t>::print(const std::int64_t& value) { return fmt::format("{}", value); }

double ScalarText<double>::parse(std::string_view text) {
  const std::string_view digits = text.starts_with('-') ? text.substr(1) : text;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::result_out_of_range)
    throw std::invalid_argument(fmt::format("{} does not fit a number", text));
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value))
    throw std::invalid_argument(fmt::format("{} is not a number; write for example 0.5", text));
  if (digits.size() > 1 && digits[0] == '0' && '0' <= digits[1] && digits[1] <= '9')
    throw std::invalid_argument(fmt::format("{} starts with 0; write {}", text, print(value)));
  return value;
}
std::string ScalarText<double>::print(const double& value) {
  std::array<char, 32> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return std::string(buffer.data(), end.ptr);
}

std::string ScalarText<std::string>::parse(std::string_view text) { return std::string(text); }
std::string ScalarText<std::string>::print(const std::string& value) { return value; }

Duration ScalarText<Duration>::parse(std::string_view text) { return parse_duration(text); }
std::string ScalarText<Duration>::print(const Duration& value) { return to_text(value); }
Bytes ScalarText<Bytes>::parse(std::string_view text) { return parse_bytes(text); }
std::string ScalarText<Bytes>::print(const Bytes& value) { return to_text(value); }
Frequency ScalarText<Frequency>::parse(std::string_view text) { return parse_frequency(text); }
std::string ScalarText<Frequency>::print(const Frequency& value) { return to_text(value); }
Bandwidth ScalarText<Bandwidth>::parse(std::string_view text) { return parse_bandwidth(text); }
std::string ScalarText<Bandwidth>::print(const Bandwidth& value) { return to_text(value); }

// ---- Fields of their own kind ---------------------------------------------------------------------------------------

FilePath file_path(const ConfigNode& node) {
  if (node.place.line == 0) return {node.text, ""};
  return {node.text, std::filesystem::path(node.place.file).parent_path()};
}

ConfigNode write_text(const std::string& text) {
  ConfigNode node = ConfigNode::scalar(text);
  node.quoted = text.empty() || is_number_like(text) || is_reserved_word(text);
  return node;
}

// Replaced whole, as a list is: a size that is not named is not there.
void read_page_size_counts(const ConfigNode& node, const std::string& path, PageSizeCounts& out) {
  out.clear();
  if (node.is_list()) wrong_kind(node, path, type_text<PageSizeCounts>());
  for (const auto& [name, size] : EnumNames<PageSize>::names) {
    if (node.is_scalar()) out[size] = read_scalar<std::uint32_t>(node, path);
    else if (const ConfigNode* child = node.child(name))
      out[size] = read_scalar<std::uint32_t>(*child, join_path(path, name));
  }
  refuse_unknown_keys(node, path, enum_names<PageSize>());
}

ConfigNode write_page_size_counts(const PageSizeCounts& value) {
  const auto same = [&](const auto& entry) { return entry.second == value.begin()->second; };
  if (value.size() == kPageSizes && std::all_of(value.begin(), value.end(), same))
    return ConfigNode::scalar(fmt::format("{}", value.begin()->second));
  ConfigNode map = ConfigNode::map();
  for (const auto& [size, count] : value)
    map.set(ScalarText<PageSize>::print(size), ConfigNode::scalar(fmt::format("{}", count)));
  return map;
}

}  // namespace collapsar
