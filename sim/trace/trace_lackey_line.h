// The lines of a lackey text.
//
// Errors:      TraceError with file, line and byte offset (after decompression, where the file is compressed).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/trace/trace_input.h"
#include "sim/trace/trace_readers.h"

namespace collapsar {

class LackeyLines {
 public:
  enum class Kind : std::uint8_t { reference, event, end };
  explicit LackeyLines(const std::string& file) : stream_(file) {}
  // Whether the text begins like lackey's.
  static bool is_lackey(const std::string& file);
  // The next reference or event; lines that say neither are passed over.
  Kind next(Record& record, TraceEvent& event);
  void rewind();

 private:
  [[noreturn]] void fail(std::string_view line, const char* right) const;
  bool read_line(std::string_view& line);
  bool parse_reference(std::string_view line, Record& record) const;
  std::optional<TraceEvent> parse_system_call(std::string_view line);
  void keep_tail(std::string_view rest);

  InputStream stream_;
  std::vector<std::uint8_t> buffer_;
  std::size_t at_ = 0, filled_ = 0;
  std::uint64_t line_ = 0, offset_ = 0;  // of the current line
  std::uint64_t next_offset_ = 0;
  std::string tail_;       // a reference glued to a system call
  std::uint64_t pid_ = 0;  // of the first SYSCALL line; another one is a forked child
  std::map<std::uint64_t, std::vector<std::uint64_t>> blocked_;  // arguments of the call that a thread is in
};

}  // namespace collapsar
