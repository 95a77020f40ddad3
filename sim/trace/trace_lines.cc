#include "sim/trace/trace_lines.h"

#include <charconv>
#include <cstring>

namespace collapsar {

namespace {

constexpr std::size_t kLongestLine = 1u << 16;  // SYSCALL lines quote paths; nothing real comes near
constexpr std::size_t kBuffer = 1u << 20;

std::optional<std::uint64_t> number(std::string_view word, int base) {
  std::uint64_t v = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), v, base);
  if (error != std::errc{} || end != word.data() + word.size()) return std::nullopt;
  return v;
}

}  // namespace

std::optional<std::uint64_t> hex_number(std::string_view word) {
  if (word.starts_with("0x") || word.starts_with("0X")) word.remove_prefix(2);
  return number(word, 16);
}

std::optional<std::uint64_t> decimal_number(std::string_view word) { return number(word, 10); }

void TextLines::fail(std::string_view line, std::string_view right) const {
  std::string shown(line.substr(0, 80));
  for (char& c : shown)
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = '?';
  throw TraceError(fmt::format("{}: line {}, byte offset {}: '{}': {}", name(), line_, offset_, shown, right));
}

void TextLines::rewind() {
  stream_.rewind();
  at_ = filled_ = 0;
  line_ = offset_ = next_offset_ = 0;
}

bool TextLines::next(std::string_view& line) {
  const auto find_end = [&]() -> const std::uint8_t* {
    return filled_ == at_ ? nullptr
                          : static_cast<const std::uint8_t*>(std::memchr(buffer_.data() + at_, '\n', filled_ - at_));
  };
  const std::uint8_t* end = find_end();
  if (!end) {
    if (!refill()) return false;
    end = find_end();
    line = {reinterpret_cast<const char*>(buffer_.data()), filled_};
    offset_ = next_offset_, ++line_;
    if (!end) fail(line, "the text ends within a line; a whole file is right");
    --line_;
  }
  const std::size_t length = static_cast<std::size_t>(end - (buffer_.data() + at_));
  line = {reinterpret_cast<const char*>(buffer_.data()) + at_, length};
  at_ += length + 1;
  offset_ = next_offset_, next_offset_ += length + 1, ++line_;
  if (line.ends_with('\r')) line.remove_suffix(1);
  return true;
}

// What is left of the buffer moves to its front; then as much again is read. False if nothing is left.
bool TextLines::refill() {
  buffer_.resize(kBuffer + kLongestLine);
  std::memmove(buffer_.data(), buffer_.data() + at_, filled_ - at_);
  filled_ -= at_, at_ = 0;
  if (filled_ > kLongestLine) {
    offset_ = next_offset_, ++line_;
    fail({reinterpret_cast<const char*>(buffer_.data()), 80}, "a line of at most 64 KiB is right");
  }
  filled_ += stream_.read({buffer_.data() + filled_, kBuffer});
  return filled_ > 0;
}

std::vector<std::string> first_lines(const std::string& file, std::size_t most) {
  std::vector<std::string> lines;
  TextLines text(file);
  std::string_view line;
  try {
    while (lines.size() < most && text.next(line)) lines.emplace_back(line);
  } catch (const TraceError&) {
    lines.emplace_back(line.substr(0, 256));  // the reader will say what is wrong with it
  }
  return lines;
}

}  // namespace collapsar
