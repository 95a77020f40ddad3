// OutputFile: a file under a temporary name beside its own, which it gets in commit(); without, it is removed.
//
// Errors:      TraceError with the file's name and the byte offset.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace collapsar {

class OutputFile {
 public:
  explicit OutputFile(const std::string& name);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  std::uint64_t size() const { return size_; }
  void write(std::span<const std::uint8_t> bytes);
  void commit();

 private:
  [[noreturn]] void fail(std::uint64_t offset);
  std::string name_, temporary_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
  bool is_committed_ = false;
};

}  // namespace collapsar
