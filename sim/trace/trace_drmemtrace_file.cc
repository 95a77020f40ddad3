#include "sim/trace/trace_drmemtrace_file.h"

#include <minizip/unzip.h>

#include <algorithm>
#include <array>

#include "sim/trace/trace_input.h"

namespace collapsar {

namespace {

class PlainFile : public DrmemFile {
 public:
  explicit PlainFile(const std::string& name) : stream_(name) {}
  std::size_t read(std::span<std::uint8_t> out) override { return stream_.read(out); }

 private:
  InputStream stream_;
};

class ZipFile : public DrmemFile {
 public:
  explicit ZipFile(const std::string& name) : name_(name), zip_(unzOpen64(name.c_str()), unzClose) {
    if (!zip_)
      throw TraceError(fmt::format("{}: no whole zip archive; a file that drmemtrace has closed is right", name));
    open_member(unzGoToFirstFile(zip_.get()));
  }

  std::size_t read(std::span<std::uint8_t> out) override {
    std::size_t done = 0;
    while (done < out.size() && !has_ended_) {
      const int n = unzReadCurrentFile(zip_.get(), out.data() + done, static_cast<unsigned>(out.size() - done));
      if (n < 0) fail(n);
      if (n == 0) next_member();
      done += static_cast<std::size_t>(n);
    }
    return done;
  }

 private:
  [[noreturn]] void fail(int code) const {
    throw TraceError(fmt::format("{}: member {}: broken data (minizip says {}); a whole zip archive is right", name_,
                                 member_, code));
  }
  void next_member() {
    if (const int code = unzCloseCurrentFile(zip_.get()); code != UNZ_OK) fail(code);  // the check sum
    ++member_;
    open_member(unzGoToNextFile(zip_.get()));
  }
  void open_member(int code) {
    has_ended_ = code == UNZ_END_OF_LIST_OF_FILE;
    if (has_ended_) return;
    if (code != UNZ_OK) fail(code);
    if (const int opened = unzOpenCurrentFile(zip_.get()); opened != UNZ_OK) fail(opened);
  }
  std::string name_;
  std::unique_ptr<void, int (*)(unzFile)> zip_;
  std::size_t member_ = 0;
  bool has_ended_ = false;
};

}  // namespace

std::unique_ptr<DrmemFile> open_drmem_file(const std::string& name) {
  constexpr std::array<std::uint8_t, 4> kZip = {'P', 'K', 3, 4};
  std::array<std::uint8_t, 4> magic{};
  InputFile(name).read(0, magic);
  if (magic == kZip) return std::make_unique<ZipFile>(name);
  return std::make_unique<PlainFile>(name);
}

}  // namespace collapsar
