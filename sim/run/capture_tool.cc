#include "sim/run/capture_tool.h"

#include <fmt/format.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "sim/core/error.h"

namespace collapsar {

namespace fs = std::filesystem;

namespace {

constexpr const char* kInstall = "apt install valgrind gcc libc6-dev";
constexpr const char* kVersion = "valgrind-3.19.";  // Debian 12; coregrind's private prototypes are those of this one
constexpr const char* kProgram = "collapsar-amd64-linux";
constexpr const char* kLibraries = "/usr/lib/x86_64-linux-gnu/valgrind";
constexpr const char* kSupport = "/usr/libexec/valgrind";

// As Debian's own tools are built (valgrind's Makefile.all.am), but linked at 1.75 GiB instead of 0.875: the heap of the
// program lies below, and the code model wants all below 2 GiB.
constexpr const char* kCompile =
    "gcc -O2 -std=gnu11 -m64 -fno-pie -fno-stack-protector -fno-builtin -fno-strict-aliasing -fomit-frame-pointer "
    "-I/usr/include/valgrind -DVGO_linux=1 -DVGA_amd64=1 -DVGP_amd64_linux=1 -DVGPV_amd64_linux_vanilla=1 "
    "-static -nodefaultlibs -nostartfiles -no-pie -Wl,-u,_start -Wl,-e,_start -Wl,--build-id=none "
    "-Wl,-z,noexecstack -Wl,-Ttext-segment=0x70000000 -Wl,--wrap=vgPlain_am_get_advisory "
    "-Wl,--wrap=vgPlain_am_get_advisory_client_simple -Wl,--wrap=vgPlain_am_create_reservation "
    "-Wl,--wrap=vgPlain_di_notify_mmap";
constexpr const char* kLink =
    "-L/usr/lib/x86_64-linux-gnu/valgrind -lcoregrind-amd64-linux -lvex-amd64-linux -lgcc-sup-amd64-linux -lgcc";

[[noreturn]] void fail(const std::string& what) { throw ConfigError(fmt::format("capture: {}", what)); }

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// What a shell command prints, both ways; `status` is that of the shell.
std::string output_of(const std::string& command, int& status) {
  std::string out;
  std::FILE* pipe = ::popen(fmt::format("({}) 2>&1", command).c_str(), "re");
  if (!pipe) fail("no shell can be started");
  std::array<char, 4096> buffer;
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) out.append(buffer.data(), n);
  status = ::pclose(pipe);
  return out;
}

std::string quoted(const fs::path& path) {
  std::string out = "'";
  for (const char c : path.string()) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

bool is_in_path(const char* program) {
  int status = 0;
  output_of(fmt::format("command -v {}", program), status);
  return status == 0;
}

// Valgrind's version; throws if anything that the tool needs is not there.
std::string check_computer() {
  utsname system;
  if (::uname(&system) != 0 || std::string(system.machine) != "x86_64")
    fail(fmt::format("the tool is made for x86_64, this is {}", system.machine));
  for (const char* program : {"valgrind", "gcc"})
    if (!is_in_path(program)) fail(fmt::format("{} is missing; as root: {}", program, kInstall));
  int status = 0;
  std::string version = output_of("valgrind --version", status);
  if (!version.starts_with(kVersion))
    fail(fmt::format("Valgrind's version is {}; the tool is made for {}x, that of Debian 12",
                     version.substr(0, version.find('\n')), kVersion));
  for (const std::string& file : {std::string(kLibraries) + "/libcoregrind-amd64-linux.a",
                                  std::string("/usr/include/valgrind/pub_tool_tooliface.h"),
                                  std::string(kSupport) + "/vgpreload_core-amd64-linux.so"})
    if (!fs::exists(file)) fail(fmt::format("{} is missing; as root: {}", file, kInstall));
  return version;
}

std::vector<fs::path> find_sources(const std::vector<std::string>& folders) {
  std::error_code error;
  for (const std::string& folder : folders) {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder, error))
      if (entry.path().extension() == ".c" || entry.path().extension() == ".h") files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    if (!files.empty()) return files;
  }
  fail("the tool's source is not found; share/collapsar/traces/capture of the installation has it");
}

fs::path cache_folder() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache && *cache == '/') return fs::path(cache) / "collapsar";
  const char* home = std::getenv("HOME");
  if (!home || !*home) fail("neither XDG_CACHE_HOME nor HOME says where the compiled tool is to be kept");
  return fs::path(home) / ".cache" / "collapsar";
}

std::uint64_t hash_of(const std::string& text) {  // FNV-1a
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return hash;
}

// Compiles into a folder of its own, which then gets its name: a tool that is there is whole.
void compile(const std::vector<fs::path>& sources, const fs::path& folder) {
  std::string temporary = folder.string() + ".XXXXXX";
  if (!::mkdtemp(temporary.data())) fail(fmt::format("{} cannot be made", temporary));
  std::string files;
  for (const fs::path& file : sources)
    if (file.extension() == ".c") files += quoted(file) + " ";
  int status = 0;
  const std::string said =
      output_of(fmt::format("{} -o {} {}{}", kCompile, quoted(fs::path(temporary) / kProgram), files, kLink), status);
  std::error_code error;
  if (status != 0) {
    fs::remove_all(temporary, error);
    fail(fmt::format("the tool does not compile (needed: {}): {}", kInstall, said.substr(0, 2000)));
  }
  for (const char* file : {"vgpreload_core-amd64-linux.so", "default.supp"})
    fs::create_symlink(fs::path(kSupport) / file, fs::path(temporary) / file, error);
  fs::permissions(temporary, fs::perms{0755}, error);
  fs::rename(temporary, folder, error);
  if (error) fs::remove_all(temporary, error);  // somebody else was faster
  if (!fs::exists(folder / kProgram)) fail(fmt::format("{} cannot be written", folder.string()));
}

}  // namespace

std::string prepare_capture_tool(const std::vector<std::string>& folders) {
  std::string all = check_computer() + kCompile + kLink;
  const std::vector<fs::path> sources = find_sources(folders);
  for (const fs::path& file : sources) all += read_file(file);
  const fs::path folder = cache_folder() / fmt::format("capture-{:016x}", hash_of(all));
  if (fs::exists(folder / kProgram)) return folder;
  std::error_code error;
  fs::create_directories(folder.parent_path(), error);
  compile(sources, folder);
  return folder;
}

}  // namespace collapsar
