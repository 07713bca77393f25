#!/usr/bin/env bash
# The tutorial's night, simulated and reduced with one command, in the folder demo/.
set -euo pipefail
: "${BIN:?folder of the installed commands}"
export PATH="$BIN:$PATH"

rm -rf demo
mkdir -p demo/home
cd demo
# A home of its own: the demo neither reads nor changes the configuration of the user.
export HOME="$PWD/home"

echo "== simulating the night into demo/playdata"
keyhole simulate playdata --seed 1

echo "== keyhole night playdata -o reduced"
keyhole night playdata -o reduced

echo "== how good it is"
keyhole verify reduced/N20120117S0014_stack.fits playdata/truth.ecsv
keyhole picture reduced/N20120117S0014_stack.fits -o stack.png

echo
echo "image    demo/reduced/N20120117S0014_stack.fits"
echo "picture  demo/stack.png"
echo "plan     demo/reduced/plan.toml"
if [ -f reduced/index.html ]; then echo "report   demo/reduced/index.html"; fi
