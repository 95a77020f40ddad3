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
constexpr std::uint8_t kZstdMagic[4] = {0x28, 0xB5, 0x2F, 0xFD};  // RFC 8878, 3.1.1

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

struct InputStream::Decompressor {
  ZSTD_DCtx* context = ZSTD_createDCtx();
  ~Decompressor() { ZSTD_freeDCtx(context); }
};

InputStream::InputStream(const std::string& name) : file_(name), decompressor_(std::make_unique<Decompressor>()) {
  std::uint8_t magic[4] = {};
  is_compressed_ = file_.read(0, magic) == sizeof magic && std::equal(magic, magic + 4, kZstdMagic);
}

InputStream::~InputStream() = default;

std::uint64_t InputStream::file_offset() const { return file_at_ - (buffer_.size() - buffer_at_); }

void InputStream::rewind() {
  ZSTD_DCtx_reset(decompressor_->context, ZSTD_reset_session_only);
  buffer_.clear();
  buffer_at_ = 0, file_at_ = 0, offset_ = 0;
  in_frame_ = false;
}

void InputStream::refill() {
  buffer_.resize(kBufferBytes);
  buffer_.resize(file_.read(file_at_, buffer_));
  file_at_ += buffer_.size();
  buffer_at_ = 0;
}

std::size_t InputStream::read(std::span<std::uint8_t> out) {
  const std::size_t n = is_compressed_ ? read_compressed(out) : read_plain(out);
  offset_ += n;
  return n;
}

std::size_t InputStream::read_plain(std::span<std::uint8_t> out) {
  const std::size_t n = file_.read(file_at_, out);
  file_at_ += n;
  return n;
}

std::size_t InputStream::read_compressed(std::span<std::uint8_t> out) {
  ZSTD_outBuffer output{out.data(), out.size(), 0};
  while (output.pos < output.size) {
    if (buffer_at_ == buffer_.size()) refill();
    ZSTD_inBuffer input{buffer_.data(), buffer_.size(), buffer_at_};
    const std::size_t before = output.pos;
    const std::size_t hint = ZSTD_decompressStream(decompressor_->context, &output, &input);
    if (ZSTD_isError(hint)) {
      throw TraceError(fmt::format("{}: byte offset {}: {}; a whole zstd file is right", name(), file_offset(),
                                   ZSTD_getErrorName(hint)));
    }
    const bool is_stuck = input.pos == buffer_at_ && output.pos == before;
    buffer_at_ = input.pos;
    if (!buffer_.empty() || output.pos != before) in_frame_ = hint != 0;
    if (buffer_.empty() && is_stuck) {
      if (in_frame_)
        throw TraceError(
            fmt::format("{}: byte offset {}: the zstd data ends too early; a whole file is right", name(), file_at_));
      break;
    }
  }
  return output.pos;
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
