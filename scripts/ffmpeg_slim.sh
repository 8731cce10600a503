#!/usr/bin/env bash
# Builds a small FFmpeg of the version that is installed here into .deps/ffmpeg-slim: only what this program reads and
# writes, so that scripts/gpu_bundle.sh can carry it. Programs linked with the system's FFmpeg run with this one.
# Idempotent. With x264 and therefore under the GPL: for carrying tests to a machine, not for giving away.
set -euo pipefail
cd "$(dirname "$0")/.."

# NASM for fast decoders; x264 and dav1d are carried as the system has them; the last gives decoding on the GPU (NVDEC).
PACKAGES=(nasm libx264-dev libdav1d-dev libffmpeg-nvenc-dev dpkg-dev xz-utils)
DECODERS=h264,hevc,vp8,vp9,libdav1d,av1,mpeg4,mjpeg,png,rawvideo
HWACCELS=h264_nvdec,hevc_nvdec,vp8_nvdec,vp9_nvdec,av1_nvdec,mpeg4_nvdec,mjpeg_nvdec
ENCODERS=libx264,mpeg4,mjpeg,png
DEMUXERS=mov,matroska,avi,image2
MUXERS=mp4,mov,matroska,avi
PARSERS=h264,hevc,vp8,vp9,av1,mpeg4video,mjpeg,png
FILTERS=h264_mp4toannexb,hevc_mp4toannexb,mpeg4_unpack_bframes,vp9_superframe,vp9_superframe_split,av1_frame_split

say() { printf 'ffmpeg_slim: %s\n' "$*" >&2; }
fail() {
    printf 'ffmpeg_slim: error: %s\n  hint: %s\n' "$1" "$2" >&2
    exit 1
}

SLIM=$PWD/.deps/ffmpeg-slim
version=$(dpkg-query -W -f='${Version}' libavcodec-dev 2>/dev/null) ||
    fail "libavcodec-dev was not found" "scripts/setup.sh on Debian or Ubuntu"
# Another version in the system, or another choice here, and it is built anew.
stamp="$version $DECODERS $HWACCELS $ENCODERS $DEMUXERS $MUXERS $PARSERS $FILTERS"
[ "$(cat "$SLIM/stamp" 2>/dev/null)" != "$stamp" ] || exit 0

missing=()
for package in "${PACKAGES[@]}"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} = 0 ] || fail "packages are missing: ${missing[*]}" "as root: apt-get install ${missing[*]}"

# Where the installed version came from: the line below the one with the stars, "500 URL SUITE/COMPONENT ARCH Packages".
read -r _ url suite _ < <(apt-cache policy libavcodec-dev | sed -n '/\*\*\*/{n;p}')
[[ "$url" = http* ]] ||
    fail "the package sources do not have FFmpeg $version any more" "apt-get update && apt-get upgrade, then run this again"

rm -rf "$SLIM.work"
mkdir -p "$SLIM.work/lists/partial" "$SLIM.work/cache/archives/partial"
cd "$SLIM.work"
start=$SECONDS
say "fetching the source of FFmpeg $version"
# The system's own package sources stay as they are: they often leave out sources.
echo "deb-src $url ${suite%%/*} ${suite#*/}" >sources.list
apt() {
    apt-get -qq -o Dir::Etc::SourceList="$PWD/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$PWD/lists" -o Dir::Cache="$PWD/cache" -o APT::Sandbox::User="$(id -un)" "$@"
}
{ apt update && apt source "ffmpeg=$version" >/dev/null; } || fail "apt-get source ffmpeg=$version failed" "see above"
cd ffmpeg-*/

say "building it"
./configure --prefix="$SLIM" --enable-shared --disable-static --disable-doc --disable-programs --disable-debug \
    --disable-autodetect --disable-everything --disable-network --disable-avdevice --disable-avfilter \
    --disable-postproc --disable-swresample --enable-gpl --enable-libx264 --enable-libdav1d \
    --enable-ffnvcodec --enable-nvdec --enable-cuvid --enable-hwaccel="$HWACCELS" \
    --enable-decoder="$DECODERS" --enable-encoder="$ENCODERS" --enable-demuxer="$DEMUXERS" --enable-muxer="$MUXERS" \
    --enable-parser="$PARSERS" --enable-bsf="$FILTERS" --enable-protocol=file >configure.log ||
    fail "configure failed" "see $PWD/configure.log and $PWD/ffbuild/config.log"
${MAKE:-make} -j"$(nproc)" >make.log 2>&1 || fail "make failed" "see $PWD/make.log"
rm -rf "$SLIM"
make install-libs >>make.log 2>&1 || fail "make install failed" "see $PWD/make.log"

cd "$SLIM"
for name in libx264.so libdav1d.so; do
    cp -L "$(ldd lib/libavcodec.so | awk -v name="$name" 'index($1, name) == 1 { print $3 }')" lib/
done
# One file a library, under the name that programs ask for.
for file in lib/*; do [ ! -L "$file" ] || case $file in *.so) rm "$file" ;; *) cp --remove-destination "$(realpath "$file")" "$file" ;; esac; done
find lib -type f ! -regex '.*\.so\.[0-9]+' -delete
rm -rf lib/pkgconfig include share "$SLIM.work"
strip --strip-unneeded lib/*
echo "$stamp" >stamp
say "$(du -sh lib | cut -f 1) in .deps/ffmpeg-slim/lib after $((SECONDS - start)) s"
