#include "sim/trace/trace_input.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "sim/trace/trace_bytes.h"

namespace collapsar {

namespace {

constexpr std::size_t kBufferBytes = 1u << 18;
constexpr int kWindowLog = 21;  // 2 MiB: a block of 65,536 references and its predecessor, of some 600 KiB each

}  // namespace

void trace_error(const std::string& file, std::uint64_t record, std::uint64_t offset, const std::string& what) {
  throw TraceError(fmt::format("{}: record {}, byte offset {}: {}", file, record, offset, what));
}

InputFile::InputFile(const std::string& name) : name_(name), descriptor_(::open(name.c_str(), O_RDONLY | O_CLOEXEC)) {
  struct stat status {};
  if (descriptor_ < 0) throw TraceError(fmt::format("{}: cannot be opened: {}", name, std::strerror(errno)));
  if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor_);
    throw TraceError(fmt::format("{}: not a regular file; a trace is read more than once", name));
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
}

InputFile::~InputFile() { ::close(descriptor_); }

std::size_t InputFile::read(std::uint64_t offset, std::span<std::uint8_t> out) const {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t n = ::pread(descriptor_, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw TraceError(fmt::format("{}: byte offset {}: {}", name_, offset + done, std::strerror(errno)));
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  return done;
}

InputStream::InputStream(const std::string& name) : file_(name) {
  std::uint8_t first[kMagicBytes] = {};
  decompressor_ = decompressor_for({first, file_.read(0, first)});
}

InputStream::~InputStream() = default;

std::uint64_t InputStream::file_offset() const { return file_at_ - (buffer_.size() - buffer_at_); }

void InputStream::rewind() {
  if (decompressor_) decompressor_->reset();
  buffer_.clear();
  buffer_at_ = 0, file_at_ = 0, offset_ = 0;
}

void InputStream::refill() {
  buffer_.resize(kBufferBytes);
  buffer_.resize(file_.read(file_at_, buffer_));
  file_at_ += buffer_.size();
  buffer_at_ = 0;
}

std::size_t InputStream::read(std::span<std::uint8_t> out) {
  const std::size_t n = decompressor_ ? read_compressed(out) : read_plain(out);
  offset_ += n;
  return n;
}

std::size_t InputStream::read_plain(std::span<std::uint8_t> out) {
  const std::size_t n = file_.read(file_at_, out);
  file_at_ += n;
  return n;
}

std::size_t InputStream::read_compressed(std::span<std::uint8_t> out) {
  std::size_t done = 0;
  while (done < out.size()) {
    if (buffer_at_ == buffer_.size()) refill();
    const bool is_last = file_at_ >= file_.size();
    Decompressor::Step step;
    try {
      step = decompressor_->step(std::span(buffer_).subspan(buffer_at_), out.subspan(done), is_last);
    } catch (const Malformed& m) {
      throw TraceError(fmt::format("{}: byte offset {}: {}; a whole {} file is right", name(), file_offset(), m.what,
                                   decompressor_->name()));
    }
    buffer_at_ += step.consumed, done += step.produced;
    if (step.consumed > 0 || step.produced > 0) continue;
    if (!is_last || buffer_at_ < buffer_.size())
      throw TraceError(fmt::format("{}: byte offset {}: bytes behind the end of the {} data", name(), file_offset(),
                                   decompressor_->name()));
    if (!decompressor_->is_between_streams())
      throw TraceError(fmt::format("{}: byte offset {}: the {} data ends too early; a whole file is right", name(),
                                   file_at_, decompressor_->name()));
    break;
  }
  return done;
}

std::string read_all(InputStream& stream) {
  std::string text;
  std::vector<std::uint8_t> piece(kBufferBytes);
  while (const std::size_t n = stream.read(piece)) text.append(reinterpret_cast<const char*>(piece.data()), n);
  return text;
}

std::string hash_of_files(const std::vector<std::string>& names) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  std::vector<std::uint8_t> piece(kBufferBytes);
  for (const std::string& name : names) {
    const InputFile file(name);
    for (std::uint64_t at = 0; at < file.size();) {
      const std::size_t n = file.read(at, piece);
      if (n == 0) break;
      std::fill(piece.begin() + static_cast<std::ptrdiff_t>(n), piece.end(), std::uint8_t{0});
      for (std::size_t i = 0; i < n; i += 8) {
        std::uint64_t word;
        std::memcpy(&word, piece.data() + i, sizeof word);
        hash = std::rotl(hash ^ word, 29) * 0x100000001b3ULL;
      }
      at += n;
    }
    hash = (hash ^ file.size()) * 0x100000001b3ULL;
  }
  return fmt::format("{:016x}", hash);
}

std::vector<std::uint8_t> compress(std::span<const std::uint8_t> bytes, int level,
                                   std::span<const std::uint8_t> prefix) {
  std::vector<std::uint8_t> frame(ZSTD_compressBound(bytes.size()));
  const std::unique_ptr<ZSTD_CCtx, std::size_t (*)(ZSTD_CCtx*)> context(ZSTD_createCCtx(), ZSTD_freeCCtx);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, level);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, 1);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_windowLog, kWindowLog);
  ZSTD_CCtx_refPrefix(context.get(), prefix.data(), prefix.size());
  const std::size_t n = ZSTD_compress2(context.get(), frame.data(), frame.size(), bytes.data(), bytes.size());
  SIM_ASSERT(!ZSTD_isError(n), "zstd cannot compress {} bytes: {}", bytes.size(), ZSTD_getErrorName(n));
  frame.resize(n);
  return frame;
}

FrameDecompressor::FrameDecompressor() : context_(ZSTD_createDCtx()) {}
FrameDecompressor::~FrameDecompressor() { ZSTD_freeDCtx(static_cast<ZSTD_DCtx*>(context_)); }

void FrameDecompressor::decompress(std::span<const std::uint8_t> frame, std::span<std::uint8_t> out,
                                   std::span<const std::uint8_t> prefix) {
  auto* context = static_cast<ZSTD_DCtx*>(context_);
  ZSTD_DCtx_refPrefix(context, prefix.data(), prefix.size());
  const std::size_t n = ZSTD_decompressDCtx(context, out.data(), out.size(), frame.data(), frame.size());
  if (ZSTD_isError(n)) throw Malformed{0, fmt::format("{}; an unbroken zstd frame is right", ZSTD_getErrorName(n))};
  if (n != out.size()) throw Malformed{0, fmt::format("the frame holds {} bytes; {} is right", n, out.size())};
}

}  // namespace collapsar
