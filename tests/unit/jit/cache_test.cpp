#include "jit/cache.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

namespace heddle::jit {
namespace {

namespace fs = std::filesystem;

class Cache : public ::testing::Test {
 protected:
  Cache() : root_(fs::temp_directory_path() / ("heddle_cache_test." + std::to_string(::getpid()))) {
    fs::remove_all(root_);
  }
  ~Cache() override {
    fs::permissions(root_, fs::perms::owner_all);
    fs::remove_all(root_);
  }
  DiskCache open(int64_t capacity = 1 << 20) { return DiskCache::open((root_ / "deep/er").string(), capacity); }
  std::vector<fs::path> files() const {
    std::vector<fs::path> out;
    for (const auto& e : fs::directory_iterator(root_ / "deep/er")) out.push_back(e.path());
    return out;
  }
  static std::string bytes_of(const fs::path& path) {
    std::ostringstream out;
    out << std::ifstream(path, std::ios::binary).rdbuf();
    return out.str();
  }
  static void write(const fs::path& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }
  fs::path root_;
};

TEST_F(Cache, AnotherProcessFindsWhatOneStored) {
  {
    DiskCache one = open();
    ASSERT_TRUE(one.on()) << one.why_off();
    EXPECT_FALSE(one.find("key"));
    one.store("key", "content");
    one.store("other", std::string(100'000, 'x'));
    one.flush();
    EXPECT_EQ(one.find("key"), "content");
  }
  DiskCache two = open();
  EXPECT_EQ(two.find("key"), "content");
  EXPECT_EQ(two.find("other"), std::string(100'000, 'x'));
  EXPECT_FALSE(two.find("kez"));
  EXPECT_EQ(two.counts().hits, 2);
  EXPECT_EQ(two.counts().misses, 1);
  for (const fs::path& file : files()) EXPECT_EQ(file.filename().string().size(), 64u) << file;
}

TEST_F(Cache, AnyBytesInItsFilesAreAMiss) {
  DiskCache cache = open();
  cache.store("key", "some content");
  cache.flush();
  const fs::path file = files().at(0);
  const std::string good = bytes_of(file);
  std::mt19937 random(7);
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ (1 << random() % 8));
    write(file, bad);
    EXPECT_FALSE(cache.find("key")) << "bit of byte " << at;
    write(file, good.substr(0, at));
    EXPECT_FALSE(cache.find("key")) << "cut at " << at;
  }
  write(file, good + "x");
  EXPECT_FALSE(cache.find("key"));
  for (int i = 0; i < 200; ++i) {
    std::string noise(random() % 300, 0);
    for (char& c : noise) c = static_cast<char>(random());
    write(file, noise);
    EXPECT_FALSE(cache.find("key"));
  }
  write(file, good);
  EXPECT_EQ(cache.find("key"), "some content");
}

TEST_F(Cache, AFileUnderAnotherKeysNameIsAMiss) {
  DiskCache cache = open();
  cache.store("one", "1");
  cache.flush();
  const fs::path one = files().at(0);
  cache.store("two", "2");
  cache.flush();
  for (const fs::path& file : files())
    if (file != one) fs::copy_file(one, file, fs::copy_options::overwrite_existing);
  EXPECT_EQ(cache.find("one"), "1");
  EXPECT_FALSE(cache.find("two"));
}

TEST_F(Cache, LinksFoldersAndOthersFilesAreNotRead) {
  DiskCache cache = open();
  cache.store("key", "content");
  cache.flush();
  const fs::path file = files().at(0), away = root_ / "away";
  fs::rename(file, away);
  fs::create_symlink(away, file);
  EXPECT_FALSE(cache.find("key"));
  fs::remove(file);
  fs::create_directory(file);
  EXPECT_FALSE(cache.find("key"));
  fs::remove(file);
  fs::copy_file(away, file);
  fs::permissions(file, fs::perms::others_write, fs::perm_options::add);
  EXPECT_FALSE(cache.find("key"));
}

TEST_F(Cache, FoldersThatOthersMayWriteAreRefused) {
  fs::create_directories(root_ / "deep/er");
  fs::permissions(root_ / "deep/er", fs::perms::group_write | fs::perms::others_write, fs::perm_options::add);
  DiskCache cache = open();
  EXPECT_FALSE(cache.on());
  EXPECT_NE(cache.why_off().find("others may write"), std::string::npos) << cache.why_off();
  cache.store("key", "content");
  cache.flush();
  EXPECT_FALSE(cache.find("key"));
  EXPECT_TRUE(fs::is_empty(root_ / "deep/er"));
}

TEST_F(Cache, WhatCannotBeAFolderSwitchesItOff) {
  EXPECT_FALSE(DiskCache::open("", 1 << 20).on());
  EXPECT_FALSE(DiskCache::open("relative/path", 1 << 20).on());
  EXPECT_FALSE(DiskCache::open("/proc/none/such", 1 << 20).on());
  fs::create_directories(root_);
  write(root_ / "file", "");
  EXPECT_FALSE(DiskCache::open((root_ / "file").string(), 1 << 20).on());
  fs::create_directory_symlink("/tmp", root_ / "link");
  EXPECT_FALSE(DiskCache::open((root_ / "link").string(), 1 << 20).on());
}

TEST_F(Cache, TheLongestUnusedGoFirst) {
  DiskCache cache = open(100'000);
  for (int i = 0; i < 9; ++i) {
    cache.store("key" + std::to_string(i), std::string(10'000, 'x'));
    cache.flush();
    // Older ones are longer unused; 0 was used just now.
    for (const fs::path& file : files())
      if (bytes_of(file).find("key" + std::to_string(i)) != std::string::npos)
        fs::last_write_time(file, fs::file_time_type::clock::now() - std::chrono::hours(i == 0 ? 0 : 20 - i));
  }
  for (int i = 9; i < 12; ++i) cache.store("key" + std::to_string(i), std::string(10'000, 'x'));
  cache.flush();
  EXPECT_TRUE(cache.find("key0"));
  EXPECT_FALSE(cache.find("key1"));
  EXPECT_FALSE(cache.find("key2"));
  EXPECT_TRUE(cache.find("key11"));
  int64_t bytes = 0;
  for (const fs::path& file : files()) bytes += static_cast<int64_t>(fs::file_size(file));
  EXPECT_LE(bytes, 100'000);
  cache.store("large", std::string(200'000, 'x'));
  cache.flush();
  EXPECT_FALSE(cache.find("large"));
}

TEST_F(Cache, LeftoversOfADeadProcessAreSweptAndHarmless) {
  DiskCache cache = open(1000);
  write(root_ / "deep/er/new.1.0", "half");
  fs::last_write_time(root_ / "deep/er/new.1.0", fs::file_time_type::clock::now() - std::chrono::hours(5));
  write(root_ / "deep/er/README", "not ours");
  cache.store("key", "content");
  cache.flush();
  EXPECT_FALSE(fs::exists(root_ / "deep/er/new.1.0"));
  EXPECT_TRUE(fs::exists(root_ / "deep/er/README"));
  EXPECT_EQ(cache.find("key"), "content");
}

}  // namespace
}  // namespace heddle::jit
