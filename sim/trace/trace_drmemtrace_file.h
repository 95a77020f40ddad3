// DrmemFile: the bytes of one thread's file of a DynamoRIO drmemtrace.
//
// Models:      nothing. A zip archive, whose members (chunk.0000, chunk.0001, ...) follow one another, or what InputStream
//              reads: plain, gzip, zstd, xz, bzip2.
// Errors:      TraceError with file and, in an archive, the member; its check sums are compared.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace collapsar {

class DrmemFile {
 public:
  virtual ~DrmemFile() = default;
  virtual std::size_t read(std::span<std::uint8_t> out) = 0;  // fills `out`, or what is left; 0 at the end
};

std::unique_ptr<DrmemFile> open_drmem_file(const std::string& name);

}  // namespace collapsar
