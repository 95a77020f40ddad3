// OutputFile: a file that gets its name in commit(), whole. Until then it has none where the file system can do that (O_TMPFILE), so
// that nothing is left whatever ends the program; else a temporary one beside its own, which the destructor removes.
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
  std::string own_path() const;
  bool give_name();
  [[noreturn]] void fail(std::uint64_t offset);
  std::string name_, temporary_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
  bool has_name_ = true, is_committed_ = false;
};

}  // namespace collapsar
