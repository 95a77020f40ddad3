// Decompressor: a compressed stream as bytes, whatever packed it.
//
// Models:      nothing. zstd, gzip, xz and bzip2, told by their first bytes; several streams in one file follow one another.
// Errors:      Malformed, with what the library says; the caller knows file and offset.
// Memory:      a window of at most 128 MiB (zstd and xz refuse more), 32 KiB (gzip), 4 MiB (bzip2).
// Source:      RFC 8878 3.1.1 (zstd), RFC 1952 2.3 (gzip), the .xz file format 2.1.1.1, bzip2's "BZh" and block magic.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

namespace collapsar {

class Decompressor {
 public:
  struct Step {
    std::size_t consumed = 0, produced = 0;
  };
  virtual ~Decompressor() = default;
  // Takes from `in` and fills `out` as far as either goes. `is_last`: nothing follows `in`.
  virtual Step step(std::span<const std::uint8_t> in, std::span<std::uint8_t> out, bool is_last) = 0;
  virtual bool is_between_streams() const = 0;  // may the input end here?
  virtual void reset() = 0;                     // to the first byte
  virtual const char* name() const = 0;
};

inline constexpr std::size_t kMagicBytes = 10;  // of the longest magic

// nullptr: the bytes are not compressed, or by something else.
std::unique_ptr<Decompressor> decompressor_for(std::span<const std::uint8_t> first_bytes);

}  // namespace collapsar
