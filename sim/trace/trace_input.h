// Trace input: bytes of a file, plain or compressed, and errors that name the place.
//
// Models:      nothing. InputFile reads at offsets; InputStream reads on and decompresses what is packed with zstd, gzip,
//              xz or bzip2.
// Errors:      TraceError with the file's name and the byte offset.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sim/core/error.h"
#include "sim/trace/trace_decompress.h"

namespace collapsar {

// "FILE: record N, byte offset M: what; what would be right"
[[noreturn]] void trace_error(const std::string& file, std::uint64_t record, std::uint64_t offset,
                              const std::string& what);

class InputFile {
 public:
  explicit InputFile(const std::string& name);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  const std::string& name() const { return name_; }
  std::uint64_t size() const { return size_; }
  // Fills `out` from byte `offset` on; returns how many bytes there were.
  std::size_t read(std::uint64_t offset, std::span<std::uint8_t> out) const;

 private:
  std::string name_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

class InputStream {
 public:
  explicit InputStream(const std::string& name);
  ~InputStream();
  InputStream(const InputStream&) = delete;
  InputStream& operator=(const InputStream&) = delete;
  // Fills `out`, or what is left; 0 at the end. A compressed stream that stops early is an error.
  std::size_t read(std::span<std::uint8_t> out);
  bool is_compressed() const { return decompressor_ != nullptr; }
  std::uint64_t offset() const { return offset_; }  // of the next byte, after decompression
  std::uint64_t file_offset() const;                // of the next byte to be read from the file
  const std::string& name() const { return file_.name(); }
  void rewind();

 private:
  std::size_t read_plain(std::span<std::uint8_t> out);
  std::size_t read_compressed(std::span<std::uint8_t> out);
  void refill();

  InputFile file_;
  std::unique_ptr<Decompressor> decompressor_;  // none: the bytes are what they are
  std::vector<std::uint8_t> buffer_;
  std::size_t buffer_at_ = 0;
  std::uint64_t file_at_ = 0;
  std::uint64_t offset_ = 0;
};

// Everything the stream has.
std::string read_all(InputStream& stream);
// FNV-1a over 8-byte words of the bytes of these files, in order: 16 hexadecimal digits.
std::string hash_of_files(const std::vector<std::string>& names);

// One zstd frame with content checksum. `prefix`: bytes that the reader will have at hand and that this frame may
// repeat.
std::vector<std::uint8_t> compress(std::span<const std::uint8_t> bytes, int level,
                                   std::span<const std::uint8_t> prefix = {});
class FrameDecompressor {
 public:
  FrameDecompressor();
  ~FrameDecompressor();
  // Requires: `out` has the exact size, `prefix` is what compress() had. Throws Malformed.
  void decompress(std::span<const std::uint8_t> frame, std::span<std::uint8_t> out,
                  std::span<const std::uint8_t> prefix = {});

 private:
  void* context_;
};

}  // namespace collapsar
