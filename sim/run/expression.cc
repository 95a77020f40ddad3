#include "sim/run/expression.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <stdexcept>

namespace collapsar {

namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_in_name(char c) { return is_letter(c) || is_digit(c) || c == '_' || c == '.'; }

class Reader {
 public:
  Reader(std::string_view text, const ValueOf& value_of) : text_(text), value_of_(value_of) {}

  double all() {
    const double value = sum();
    if (at_ < text_.size()) fail("+, -, *, / or the end");
    return value;
  }

 private:
  double sum() {
    double value = product();
    while (true) {
      if (take('+')) value += product();
      else if (take('-')) value -= product();
      else return value;
    }
  }

  double product() {
    double value = factor();
    while (true) {
      if (take('*')) value *= factor();
      else if (take('/')) value /= factor();
      else return value;
    }
  }

  double factor() {
    if (take('-')) return -factor();
    if (take('(')) {
      const double value = sum();
      if (!take(')')) fail("a closing bracket");
      return value;
    }
    if (at_ < text_.size() && is_letter(text_[at_])) return value_of_(name());
    return number();
  }

  std::string_view name() {
    const std::size_t start = at_;
    while (at_ < text_.size() && is_in_name(text_[at_])) ++at_;
    if (at_ == text_.size() || text_[at_] != '@') return text_.substr(start, at_ - start);
    const std::size_t variant = ++at_;
    while (at_ < text_.size() && (is_in_name(text_[at_]) || text_[at_] == '-')) ++at_;
    if (at_ == variant) fail("the name of a variant");
    return text_.substr(start, at_ - start);
  }

  double number() {
    double value = 0;
    const auto read = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value, std::chars_format::fixed);
    if (read.ec != std::errc()) fail("a number, a name or a bracket");
    at_ = std::size_t(read.ptr - text_.data());
    return value;
  }

  // White space counts nowhere but inside names and numbers.
  void skip_spaces() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  bool take(char c) {
    skip_spaces();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    skip_spaces();
    return true;
  }
  [[noreturn]] void fail(std::string_view wanted) {
    const std::string found = at_ < text_.size() ? fmt::format("'{}'", text_[at_]) : "the end";
    throw std::invalid_argument(fmt::format("found {} at character {}; write {}", found, at_ + 1, wanted));
  }

  std::string_view text_;
  const ValueOf& value_of_;
  std::size_t at_ = 0;
};

}  // namespace

double evaluate(std::string_view text, const ValueOf& value_of) { return Reader(text, value_of).all(); }

std::vector<std::string> names_in(std::string_view text) {
  std::vector<std::string> names;
  evaluate(text, [&](std::string_view name) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.emplace_back(name);
    return 1.0;
  });
  return names;
}

}  // namespace collapsar
