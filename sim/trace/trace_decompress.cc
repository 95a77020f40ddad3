#include "sim/trace/trace_decompress.h"

#include <bzlib.h>
#include <fmt/format.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <new>

#include "sim/trace/trace_bytes.h"

namespace collapsar {

namespace {

constexpr std::uint64_t kXzMemory = 128ULL << 20;  // xz -9 needs 65 MiB to unpack (man xz)
constexpr int kZstdWindowLog = 27;                 // 128 MiB, what zstd itself accepts without --long

[[noreturn]] void fail(const std::string& what) { throw Malformed{0, what}; }

class ZstdDecompressor : public Decompressor {
 public:
  ZstdDecompressor() : context_(ZSTD_createDCtx(), ZSTD_freeDCtx) {
    ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, kZstdWindowLog);
  }
  Step step(std::span<const std::uint8_t> in, std::span<std::uint8_t> out, bool) override {
    ZSTD_inBuffer input{in.data(), in.size(), 0};
    ZSTD_outBuffer output{out.data(), out.size(), 0};
    const std::size_t hint = ZSTD_decompressStream(context_.get(), &output, &input);
    if (ZSTD_isError(hint)) fail(ZSTD_getErrorName(hint));
    if (input.pos > 0 || output.pos > 0) is_between_ = hint == 0;
    return {input.pos, output.pos};
  }
  bool is_between_streams() const override { return is_between_; }
  void reset() override { ZSTD_DCtx_reset(context_.get(), ZSTD_reset_session_only), is_between_ = true; }
  const char* name() const override { return "zstd"; }

 private:
  std::unique_ptr<ZSTD_DCtx, std::size_t (*)(ZSTD_DCtx*)> context_;
  bool is_between_ = true;
};

class GzipDecompressor : public Decompressor {
 public:
  GzipDecompressor() {
    constexpr int kGzipHeader = 16;  // added to the window's logarithm: zlib.h, inflateInit2
    if (inflateInit2(&stream_, MAX_WBITS + kGzipHeader) != Z_OK) throw std::bad_alloc();
  }
  ~GzipDecompressor() override { inflateEnd(&stream_); }
  Step step(std::span<const std::uint8_t> in, std::span<std::uint8_t> out, bool) override {
    stream_.next_in = const_cast<Bytef*>(in.data()), stream_.avail_in = static_cast<uInt>(in.size());
    stream_.next_out = out.data(), stream_.avail_out = static_cast<uInt>(out.size());
    const int result = inflate(&stream_, Z_NO_FLUSH);
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
      fail(stream_.msg ? stream_.msg : "broken data");
    const Step step{in.size() - stream_.avail_in, out.size() - stream_.avail_out};
    if (step.consumed > 0 || step.produced > 0) is_between_ = result == Z_STREAM_END;
    if (result == Z_STREAM_END) inflateReset(&stream_);
    return step;
  }
  bool is_between_streams() const override { return is_between_; }
  void reset() override { inflateReset(&stream_), is_between_ = true; }
  const char* name() const override { return "gzip"; }

 private:
  z_stream stream_{};
  bool is_between_ = true;
};

class XzDecompressor : public Decompressor {
 public:
  XzDecompressor() { start(); }
  ~XzDecompressor() override { lzma_end(&stream_); }
  Step step(std::span<const std::uint8_t> in, std::span<std::uint8_t> out, bool is_last) override {
    stream_.next_in = in.data(), stream_.avail_in = in.size();
    stream_.next_out = out.data(), stream_.avail_out = out.size();
    const lzma_ret result = has_ended_ ? LZMA_STREAM_END : lzma_code(&stream_, is_last ? LZMA_FINISH : LZMA_RUN);
    if (result == LZMA_MEMLIMIT_ERROR) fail("unpacking needs more than 128 MiB of memory");
    if (result != LZMA_OK && result != LZMA_STREAM_END && result != LZMA_BUF_ERROR)
      fail(fmt::format("broken data (liblzma says {})", static_cast<int>(result)));
    has_ended_ = result == LZMA_STREAM_END;
    return {in.size() - stream_.avail_in, out.size() - stream_.avail_out};
  }
  bool is_between_streams() const override { return has_ended_; }
  void reset() override { lzma_end(&stream_), stream_ = LZMA_STREAM_INIT, start(); }
  const char* name() const override { return "xz"; }

 private:
  void start() {
    has_ended_ = false;
    if (lzma_stream_decoder(&stream_, kXzMemory, LZMA_CONCATENATED) != LZMA_OK) throw std::bad_alloc();
  }
  lzma_stream stream_ = LZMA_STREAM_INIT;
  bool has_ended_ = false;
};

class Bzip2Decompressor : public Decompressor {
 public:
  Bzip2Decompressor() { start(); }
  ~Bzip2Decompressor() override { BZ2_bzDecompressEnd(&stream_); }
  Step step(std::span<const std::uint8_t> in, std::span<std::uint8_t> out, bool) override {
    stream_.next_in = reinterpret_cast<char*>(const_cast<std::uint8_t*>(in.data()));
    stream_.avail_in = static_cast<unsigned>(in.size());
    stream_.next_out = reinterpret_cast<char*>(out.data()), stream_.avail_out = static_cast<unsigned>(out.size());
    const int result = BZ2_bzDecompress(&stream_);
    if (result != BZ_OK && result != BZ_STREAM_END) fail(fmt::format("broken data (libbz2 says {})", result));
    const Step step{in.size() - stream_.avail_in, out.size() - stream_.avail_out};
    if (step.consumed > 0 || step.produced > 0) is_between_ = result == BZ_STREAM_END;
    if (result == BZ_STREAM_END) BZ2_bzDecompressEnd(&stream_), start();
    return step;
  }
  bool is_between_streams() const override { return is_between_; }
  void reset() override { BZ2_bzDecompressEnd(&stream_), start(), is_between_ = true; }
  const char* name() const override { return "bzip2"; }

 private:
  void start() {
    stream_ = {};
    if (BZ2_bzDecompressInit(&stream_, 0, 0) != BZ_OK) throw std::bad_alloc();
  }
  bz_stream stream_{};
  bool is_between_ = true;
};

template <std::size_t n>
bool begins(std::span<const std::uint8_t> bytes, const std::uint8_t (&magic)[n]) {
  return bytes.size() >= n && std::equal(magic, magic + n, bytes.begin());
}

}  // namespace

std::unique_ptr<Decompressor> decompressor_for(std::span<const std::uint8_t> first) {
  constexpr std::uint8_t kZstd[] = {0x28, 0xB5, 0x2F, 0xFD}, kGzip[] = {0x1F, 0x8B, 0x08};
  constexpr std::uint8_t kXz[] = {0xFD, '7', 'z', 'X', 'Z', 0}, kBzip2[] = {'B', 'Z', 'h'};
  constexpr std::uint8_t kBlock[] = {0x31, 0x41, 0x59, 0x26, 0x53, 0x59};  // behind "BZh" and the level, '1' to '9'
  if (begins(first, kZstd)) return std::make_unique<ZstdDecompressor>();
  if (begins(first, kGzip)) return std::make_unique<GzipDecompressor>();
  if (begins(first, kXz)) return std::make_unique<XzDecompressor>();
  if (begins(first, kBzip2) && first.size() > 3 && begins(first.subspan(4), kBlock))
    return std::make_unique<Bzip2Decompressor>();
  return nullptr;
}

}  // namespace collapsar
