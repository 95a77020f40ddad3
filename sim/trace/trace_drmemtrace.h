// DrmemThread: one file of a DynamoRIO drmemtrace, usually one thread, as references, times and system calls.
//
// Models:      reads, writes, instruction fetches with exact counts; time stamps; system calls where their arguments and
//              results were recorded (-record_syscall).
// Simplified:  prefetches and flushes are left out, and what the kernel did inside a system call or a context switch. A
//              reference of 0 bytes counts as 1. mmap, mremap and brk of traces before version 6 are left out: they tell
//              whether a call succeeded, not what it returned.
// Source:      DynamoRIO clients/drcachesim/common/trace_entry.h: types and markers; traces/README.md, "drmemtrace".
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sim/trace/trace_drmemtrace_file.h"
#include "sim/trace/trace_foreign.h"
#include "sim/trace/trace_syscall.h"

namespace collapsar {

// What the markers of all files say of the recording.
struct DrmemFacts {
  std::uint64_t calls_left_out = 0;   // recorded, but without an argument or the result
  std::uint64_t kernel_left_out = 0;  // references of the kernel
  bool is_filtered = false, has_windows = false;
};

class DrmemThread {
 public:
  using Kind = ForeignReader::Kind;
  DrmemThread(const std::string& name, DrmemFacts& facts);
  // `reference`: item.record. `event`: item.event. `time`: time_us() has moved on. `thread`: pid() or tid() has changed.
  Kind next(ForeignReader::Item& item);
  std::uint64_t time_us() const { return time_us_; }
  std::uint32_t pid() const { return pid_; }
  std::uint32_t tid() const { return tid_; }

  static bool is_drmem(const std::string& name);

 private:
  struct Entry {
    std::uint16_t type = 0, size = 0;
    std::uint64_t value = 0;
  };
  static constexpr std::size_t kEntryBytes = 12;
  [[noreturn]] void fail(const std::string& what) const;
  bool read(Entry& entry);
  std::uint32_t id(const Entry& entry, const char* name) const;
  std::optional<Kind> take(const Entry& entry, ForeignReader::Item& item);
  std::optional<Kind> take_marker(const Entry& entry);
  Kind reference(std::uint64_t va, std::uint32_t size, RefKind kind, ForeignReader::Item& item);
  void set_file_type(std::uint64_t bits);
  void begin_call(std::uint64_t id);
  std::optional<TraceEvent> finished_call();

  std::string name_;
  std::unique_ptr<DrmemFile> file_;
  DrmemFacts& facts_;
  std::vector<std::uint8_t> buffer_;
  std::size_t at_ = 0, filled_ = 0;
  std::uint64_t entries_ = 0;
  bool has_footer_ = false, is_in_kernel_ = false;
  std::uint64_t version_ = 0, time_us_ = 0;
  std::uint32_t pid_ = 0, tid_ = 0;
  SyscallTable table_ = SyscallTable::x86_64;
  std::uint32_t uncounted_ = 0;         // instructions that fetched nothing, before the next reference
  std::uint64_t next_instruction_ = 0;  // address behind the last one, for bundles
  Entry bundle_;                        // what is left of one: `size` lengths in `value`
  SystemCall call_;
  std::size_t arguments_ = 0;
  bool is_in_call_ = false, has_returned_ = false;
};

}  // namespace collapsar
