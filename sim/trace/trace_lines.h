// TextLines: the lines of a text file, packed or not, without a copy per line.
//
// Errors:      TraceError with file, line and byte offset (after decompression, where the file is compressed). A line of
//              more than 64 KiB, and a last line without its end, are errors.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/trace/trace_input.h"

namespace collapsar {

class TextLines {
 public:
  explicit TextLines(const std::string& file) : stream_(file) {}
  // The next line without its end, valid until the next call. False at the end of the file.
  bool next(std::string_view& line);
  void rewind();
  [[noreturn]] void fail(std::string_view line, std::string_view right) const;
  const std::string& name() const { return stream_.name(); }

 private:
  bool refill();
  InputStream stream_;
  std::vector<std::uint8_t> buffer_;
  std::size_t at_ = 0, filled_ = 0;
  std::uint64_t line_ = 0, offset_ = 0;  // of the current line
  std::uint64_t next_offset_ = 0;
};

// The first lines of a file, at most `most` of them, until one cannot be read: for telling its format.
std::vector<std::string> first_lines(const std::string& file, std::size_t most);

inline bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

// Takes the first word off `rest`; empty if there is none.
inline std::string_view take_word(std::string_view& rest) {
  std::size_t from = 0, end;
  while (from < rest.size() && is_blank(rest[from])) ++from;
  for (end = from; end < rest.size() && !is_blank(rest[end]);) ++end;
  const std::string_view word = rest.substr(from, end - from);
  rest.remove_prefix(end);
  return word;
}

// A hexadecimal digit of either case, or 16.
inline unsigned hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? static_cast<unsigned>(lower - 'a' + 10) : 16;
}

// The whole word as a number; nullopt if it is none, or needs more than 64 bits. "0x" before a hexadecimal one is
// passed over.
std::optional<std::uint64_t> hex_number(std::string_view word);
std::optional<std::uint64_t> decimal_number(std::string_view word);

}  // namespace collapsar
