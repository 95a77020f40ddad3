#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "sim/core/config.h"

namespace collapsar {
namespace {

namespace fs = std::filesystem;

class ConfigLayersTest : public ::testing::Test {
 protected:
  ConfigLayersTest() : dir_(fs::temp_directory_path() / fmt::format("collapsar-layers-{}", ::getpid())) {
    fs::create_directories(dir_ / "machines");
    fs::create_directories(dir_ / "installed");
  }
  ~ConfigLayersTest() override { fs::remove_all(dir_); }

  std::string write(const std::string& name, const std::string& text) {
    std::ofstream(dir_ / name) << text;
    return dir_ / name;
  }
  std::string path(const std::string& name) const { return dir_ / name; }
  std::string refusal(const std::string& file) {
    try {
      load_config_layers(file, {path("installed")});
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "accepted";
  }
  fs::path dir_;
};

TEST_F(ConfigLayersTest, ABaseLiesBelowTheFileThatNamesItAndBasesHaveBases) {
  const std::string top = write("top.yaml", "base: machines/mid.yaml\na: 3\n");
  const std::string mid = write("machines/mid.yaml", "a: 2\nbase: low.yaml\nm: {b: 2}\nl: [2]\n");
  const std::string low = write("machines/low.yaml", "a: 1\nm: {b: 1, c: 1}\nl: [1, 1]\n");
  const ConfigLayers layers = load_config_layers(top, {});
  EXPECT_EQ(to_yaml_line(layers.config), "{a: 3, m: {b: 2, c: 1}, l: [2]}");
  EXPECT_EQ(layers.files, (std::vector<std::string>{low, mid, top}));
  EXPECT_EQ(layers.config.find("m.c")->place.text(), low + ":2:14");
}

TEST_F(ConfigLayersTest, TheSearchDirectoriesComeAfterTheFilesOwn) {
  write("installed/a.yaml", "from: installed\n");
  const std::string top = write("top.yaml", "base: a.yaml\n");
  EXPECT_EQ(to_yaml_line(load_config_layers(top, {path("installed")}).config), "{from: installed}");
  write("a.yaml", "from: beside\n");
  EXPECT_EQ(to_yaml_line(load_config_layers(top, {path("installed")}).config), "{from: beside}");
}

TEST_F(ConfigLayersTest, AVariantMayHaveABase) {
  write("installed/zen.yaml", "a: 1\nb: 1\n");
  const ConfigNode variant = parse_yaml("base: zen.yaml\nb: 2\n", "f.yaml");
  EXPECT_EQ(to_yaml_line(expand_base(variant, {path("installed")}).config), "{a: 1, b: 2}");
}

TEST_F(ConfigLayersTest, CyclesAreRefused) {
  const std::string a = write("a.yaml", "base: machines/b.yaml\n");
  const std::string b = write("machines/b.yaml", "base: ../a.yaml\n");
  EXPECT_EQ(refusal(a), fmt::format("{}:1:7: base: {} leads back to itself: {} -> {} -> {}", b, a, a, b, a));
}

TEST_F(ConfigLayersTest, WhatCannotBeReadIsRefused) {
  EXPECT_EQ(refusal(path("gone.yaml")), path("gone.yaml") + ": cannot be read: No such file or directory");
  EXPECT_EQ(refusal(path("machines")), path("machines") + ": cannot be read: Is a directory");
  const std::string a = write("a.yaml", "base: gone.yaml\n");
  EXPECT_EQ(refusal(a), fmt::format("{}:1:7: base: no file gone.yaml; looked for {}, {}", a, path("gone.yaml"),
                                    path("installed/gone.yaml")));
  const std::string b = write("b.yaml", "base: [a.yaml]\n");
  EXPECT_EQ(refusal(b), b + ":1:7: base: found a list; expected a file");
}

}  // namespace
}  // namespace collapsar
