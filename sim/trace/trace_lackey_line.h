// The lines of a lackey text.
//
// Errors:      TraceError with file, line and byte offset (after decompression, where the file is compressed).
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "sim/trace/trace.h"
#include "sim/trace/trace_lines.h"

namespace collapsar {

using SyscallArguments = std::array<std::uint64_t, 6>;

class LackeyLines {
 public:
  enum class Kind : std::uint8_t { reference, event, end };
  explicit LackeyLines(const std::string& file) : text_(file) {}
  // Whether the text begins like lackey's.
  static bool is_lackey(const std::string& file);
  // The next reference or event; lines that say neither are passed over.
  Kind next(Record& record, TraceEvent& event);
  void rewind();
  const std::string& name() const { return text_.name(); }

 private:
  bool parse_reference(std::string_view line, Record& record) const;
  std::optional<TraceEvent> parse_system_call(std::string_view line);
  SyscallArguments take_blocked(std::uint64_t tid);
  void keep_tail(std::string_view rest);

  TextLines text_;
  std::string tail_;                                   // a reference glued to a system call
  std::uint64_t pid_ = 0;                              // of the first SYSCALL line; another one is a forked child
  std::map<std::uint64_t, SyscallArguments> blocked_;  // of the call that a thread is in
};

}  // namespace collapsar
