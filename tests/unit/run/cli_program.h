// The program from outside: what it prints, through a pipe or on a terminal, and its exit status.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

namespace collapsar {

struct Outcome {
  int status = -1;
  std::string text;  // standard output and standard error
};

inline int exit_status(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128; }

inline Outcome shell(const std::string& command) {
  Outcome outcome;
  std::FILE* pipe = ::popen(command.c_str(), "r");
  std::array<char, 4096> block{};
  while (const std::size_t n = std::fread(block.data(), 1, block.size(), pipe)) outcome.text.append(block.data(), n);
  outcome.status = exit_status(::pclose(pipe));
  return outcome;
}

inline Outcome run_program(const std::string& arguments) {
  return shell(fmt::format("{} {} 2>&1", COLLAPSAR_PROGRAM, arguments));
}

// `command` of a shell on a terminal of 100 columns.
inline Outcome on_terminal(const std::string& command) {
  winsize size{24, 100, 0, 0};
  int terminal = -1;
  const pid_t pid = ::forkpty(&terminal, nullptr, nullptr, &size);
  if (pid == 0) {
    ::execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
    ::_exit(127);
  }
  Outcome outcome;
  std::array<char, 4096> block{};
  for (ssize_t n = 0; (n = ::read(terminal, block.data(), block.size())) > 0;)  // EIO once the other end is closed
    outcome.text.append(block.data(), std::size_t(n));
  int status = 0;
  ::waitpid(pid, &status, 0);
  ::close(terminal);
  outcome.status = exit_status(status);
  return outcome;
}

class CliTest : public ::testing::Test {
 protected:
  CliTest() : dir_(std::filesystem::temp_directory_path() / fmt::format("collapsar-cli-{}", ::getpid())) {
    std::filesystem::create_directories(dir_);
  }
  ~CliTest() override { std::filesystem::remove_all(dir_); }
  std::string write(const std::string& name, const std::string& text) {
    std::ofstream(dir_ / name) << text;
    return dir_ / name;
  }
  std::string path(const std::string& name) const { return dir_ / name; }
  std::filesystem::path dir_;
};

inline constexpr const char* kTiny =
    "trace.synthetic: [{pattern: touch, footprint: 4MiB, write: true}]\n"
    "memory.size: 64MiB\ncaches: none\ndram.ideal: 80ns\nswap.device: none\n";

}  // namespace collapsar
