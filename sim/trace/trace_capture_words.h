// RawReferences: the words of the capture tool as references.
//
// Models:      one process; each thread has its own count of instructions since its last reference.
// Simplified:  a string instruction (rep movs, stos, ...) makes one reference per cache line and direction, as if the
//              microcode moved whole lines; the tool tells each element.
// Source:      traces/README.md, "The raw stream".
#pragma once

#include <cstdint>
#include <map>
#include <span>

#include "sim/trace/trace_readers.h"

namespace collapsar {

enum class CaptureFetches : std::uint8_t { none, page, block, insn };  // which fetches become references

class RawReferences {
 public:
  explicit RawReferences(CaptureFetches fetches) : fetches_(fetches) {}
  // The words of one message, all of thread `tid`. Requires: the words of the message before are read.
  void begin(std::uint32_t tid, std::span<const std::uint64_t> words);
  // Up to kMaxRun of the references to `out`; 0: all are read.
  std::size_t read(Record* out);
  // Share of the words that is read.
  std::size_t words_read() const { return at_; }
  std::uint64_t invalid() const { return invalid_; }  // words that are no reference to user memory: left out

 private:
  struct Thread {
    std::uint64_t instructions = 0;  // since the last reference
    std::uint64_t code_page = ~0ULL;
  };
  static constexpr std::size_t kNone = ~std::size_t{0};
  struct Repeat {  // a string instruction under way
    bool is_on = false;
    std::size_t last[2] = {kNone, kNone};  // its last load and store in `out`
  };
  void take(Record* out, std::uint64_t word);
  bool take_fetch(std::uint64_t word);
  bool extend(Record* out, std::uint64_t word);
  void put(Record* out, std::uint64_t word);
  void begin_kernel_access(std::uint64_t word);
  void put_kernel_page(Record* out);
  bool is_wanted(std::uint64_t va, std::uint64_t size);

  CaptureFetches fetches_;
  std::map<std::uint32_t, Thread> threads_;
  Thread* thread_ = nullptr;
  std::span<const std::uint64_t> words_;
  std::size_t at_ = 0, count_ = 0;
  Repeat repeat_;
  std::uint64_t kernel_va_ = 0, kernel_left_ = 0;
  RefKind kernel_kind_ = RefKind::kernel_read;
  std::uint64_t invalid_ = 0;
};

}  // namespace collapsar
