#include "sim/run/capture_session.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>

#include "sim/core/error.h"

namespace collapsar {

namespace fs = std::filesystem;

namespace {

constexpr int kBacklog = 128;
constexpr int kGraceMs = 3000;  // between SIGTERM and SIGKILL for a command that is to end

[[noreturn]] void fail(const char* what) {
  throw SimulationError(fmt::format("capture: {}: {}", what, std::strerror(errno)));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept { return std::swap(fd_, other.fd_), *this; }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

// A folder with the socket in it: others may connect (a program may change its user), but not list it.
class Socket {
 public:
  Socket();
  ~Socket() {
    std::error_code error;
    fs::remove_all(folder_, error);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int get() const { return fd_.get(); }
  std::string path() const { return folder_ + "/socket"; }

 private:
  std::string folder_;
  Descriptor fd_{-1};
};

Socket::Socket() : folder_((fs::temp_directory_path() / "collapsar-XXXXXX").string()) {
  if (!::mkdtemp(folder_.data())) fail("no temporary folder");
  ::chmod(folder_.c_str(), 0711);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path().size() >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    fail("TMPDIR");
  }
  path().copy(address.sun_path, sizeof address.sun_path - 1);
  fd_ = Descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd_.get() < 0 || ::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(fd_.get(), kBacklog) != 0)
    fail("no socket");
  ::chmod(path().c_str(), 0777);
}

std::vector<std::string> arguments_of(const CaptureCommand& command, const std::string& socket) {
  const auto yes_no = [](const char* name, bool value) { return fmt::format("--{}={}", name, value ? "yes" : "no"); };
  std::vector<std::string> words = {"valgrind", "-q", "--tool=collapsar", "--socket=" + socket,
                                    yes_no("children", command.follows_children),
                                    yes_no("every-fetch", command.every_fetch), yes_no("thp-align", command.aligns_thp),
                                    // Its own process is followed through exec in any case.
                                    "--trace-children=yes", "--vgdb=no", "--run-libc-freeres=no",
                                    "--run-cxx-freeres=no", "--fair-sched=try", "--max-threads=4000",
                                    "--vex-guest-max-insns=60",  // the tool counts on it
                                    "--"};
  words.insert(words.end(), command.words.begin(), command.words.end());
  return words;
}

class Session {
 public:
  Session(const CaptureCommand& command, CaptureRecorder& recorder)
      : recorder_(recorder), on_progress_(command.on_progress) {
    start(command);
  }
  ~Session();
  int run();

 private:
  struct Connection {
    Descriptor fd;
    CaptureRecorder::Stream* stream;
  };
  void start(const CaptureCommand& command);
  bool is_over() const { return (has_ended_ && (connections_.empty() || is_stopped_)) || recorder_.is_full(); }
  void wait();
  void accept_all();
  void read(Connection& connection);
  void take_signal();
  void end_command();

  CaptureRecorder& recorder_;
  const std::function<void()>& on_progress_;
  Socket socket_;
  Descriptor signals_{-1}, command_{-1};
  sigset_t old_signals_{};
  pid_t pid_ = -1;
  bool has_ended_ = false, is_stopped_ = false, has_connected_ = false;
  int status_ = 0;
  std::vector<std::unique_ptr<Connection>> connections_;
};

void Session::start(const CaptureCommand& command) {
  sigset_t mask;
  ::sigemptyset(&mask);
  for (const int signal : {SIGINT, SIGQUIT, SIGTERM, SIGHUP}) ::sigaddset(&mask, signal);
  ::sigprocmask(SIG_BLOCK, &mask, &old_signals_);
  signals_ = Descriptor(::signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK));
  const std::vector<std::string> words = arguments_of(command, socket_.path());
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  pid_ = ::fork();
  if (pid_ < 0) fail("no process");
  if (pid_ == 0) {
    ::sigprocmask(SIG_SETMASK, &old_signals_, nullptr);
    ::setenv("VALGRIND_LIB", command.tool_folder.c_str(), 1);
    ::execvp("valgrind", argv.data());
    ::_exit(127);
  }
  command_ = Descriptor(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  if (command_.get() < 0) fail("no descriptor of the command");
}

Session::~Session() {
  if (!has_ended_) end_command();
  ::sigprocmask(SIG_SETMASK, &old_signals_, nullptr);
}

// The process at the other end of a connection.
pid_t peer_of(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.pid : 0;
}

// Ends all that is recorded. The sockets are closed first, so that nobody waits for them to be read.
void Session::end_command() {
  std::vector<pid_t> others;
  for (const auto& connection : connections_) others.push_back(peer_of(connection->fd.get()));
  connections_.clear();
  for (const pid_t other : others)
    if (other > 0 && other != pid_) ::kill(other, SIGTERM);
  if (has_ended_) return;
  ::kill(pid_, SIGTERM);
  pollfd ended{command_.get(), POLLIN, 0};
  if (::poll(&ended, 1, kGraceMs) == 0) ::kill(pid_, SIGKILL);
  ::waitpid(pid_, &status_, 0);
  has_ended_ = true;
}

void Session::accept_all() {
  for (;;) {
    Descriptor fd(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (fd.get() < 0) return;
    has_connected_ = true;
    connections_.push_back(std::make_unique<Connection>(Connection{std::move(fd), &recorder_.open()}));
  }
}

void Session::read(Connection& connection) {
  const std::span<std::uint8_t> room = connection.stream->messages.room();
  const ssize_t n = ::recv(connection.fd.get(), room.data(), room.size(), 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n > 0) return recorder_.received(*connection.stream, static_cast<std::size_t>(n));
  recorder_.close(*connection.stream);
  std::erase_if(connections_, [&](const auto& c) { return c.get() == &connection; });
}

void Session::take_signal() {
  signalfd_siginfo info;
  if (::read(signals_.get(), &info, sizeof info) != sizeof info) return;
  const auto signal = static_cast<int>(info.ssi_signo);
  if (has_ended_) is_stopped_ = true;
  else if (signal == SIGTERM || signal == SIGHUP) ::kill(pid_, signal);
}

void Session::wait() {
  std::vector<pollfd> ready = {{socket_.get(), POLLIN, 0}, {signals_.get(), POLLIN, 0}};
  ready.push_back({has_ended_ ? -1 : command_.get(), POLLIN, 0});
  const std::size_t first = ready.size();
  std::vector<Connection*> order;
  for (const auto& connection : connections_) {
    ready.push_back({connection->stream->is_waiting ? -1 : connection->fd.get(), POLLIN, 0});
    order.push_back(connection.get());
  }
  if (::poll(ready.data(), ready.size(), -1) < 0 && errno != EINTR) fail("poll");
  if (ready[1].revents) take_signal();
  for (std::size_t i = 0; i < order.size() && !recorder_.is_full(); ++i)
    if (ready[first + i].revents && !order[i]->stream->is_waiting) read(*order[i]);
  if (ready[0].revents) accept_all();
  if (ready[2].revents && ::waitpid(pid_, &status_, WNOHANG) == pid_) {
    has_ended_ = true;
    accept_all();  // what it had started has connected by now
  }
}

int Session::run() {
  while (!is_over()) {
    wait();
    if (on_progress_) on_progress_();
  }
  if (recorder_.is_full()) end_command();
  if (!has_connected_) throw SimulationError("capture: the command ended before anything was recorded");
  return status_;
}

}  // namespace

int run_captured(const CaptureCommand& command, CaptureRecorder& recorder) { return Session(command, recorder).run(); }

}  // namespace collapsar
