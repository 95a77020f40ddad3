// What the fuzz targets share: bytes as a file, a trace read to its end, and what counts as a refusal.
#pragma once

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>

#include "sim/trace/trace.h"

namespace collapsar::testing {

// A file in memory with a name, since readers open theirs by name.
class MemoryFile {
 public:
  explicit MemoryFile(std::span<const std::uint8_t> bytes);
  ~MemoryFile();
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::string name() const;

 private:
  int descriptor_;
};

// All of a trace, and a second reading that must say the same number of things. A small packed file may hold very many
// references: those behind the first million are not asked for.
void read_trace(TraceSource& source);

// Errors of the input are what readers are for: TraceError, ConfigError and ScenarioError.
template <class F>
void refuse_or_read(F f) {
  try {
    f();
  } catch (const std::invalid_argument&) {
  }
}

// The inside of a `.ctr` file, behind its checks: parts of bytes:u16 and so many bytes. The first is an unpacked footer,
// the others are unpacked blocks, which come to the reader in a file that is whole but for its content hash.
void fuzz_parts(std::span<const std::uint8_t> bytes);

// Streams of the capture tool: a byte of options, then pieces of stream:u8, words:u8 and so many words. A piece of no
// words closes its stream. What is recorded must be readable.
void fuzz_capture(std::span<const std::uint8_t> bytes);

}  // namespace collapsar::testing
