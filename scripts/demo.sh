#!/usr/bin/env bash
# The tutorial's night, simulated and reduced with the commands of the tutorial, in the folder demo/.
set -euo pipefail
: "${BIN:?folder of the installed commands}"
export PATH="$BIN:$PATH"

rm -rf demo
mkdir -p demo/playground demo/home/.geminidr demo/database
cd demo
# A home of its own: the demo neither reads nor changes the configuration of the user.
export HOME="$PWD/home"
printf '[calibs]\nstandalone = True\ndatabase_dir = %s\n' "$PWD/database" > "$HOME/.geminidr/rsys.cfg"

echo "== simulating the night into demo/playdata"
keyhole simulate playdata --seed 1

cd playground
caldb init
dataselect ../playdata/*.fits --tags DARK --expr='exposure_time==60' -o darks60.lis
dataselect ../playdata/*.fits --tags FLAT -o flats.lis
dataselect ../playdata/*.fits --tags IMAGE --xtags FLAT -o target.lis

echo "== darks";   reduce @darks60.lis
caldb add N20120102S0538_dark.fits
echo "== flats";   reduce @flats.lis
caldb add N20120117S0034_flat.fits
echo "== science"; reduce @target.lis --user_cal processed_dark:N20120102S0538_dark.fits

echo "== how good it is"
keyhole verify N20120117S0014_stack.fits ../playdata/truth.ecsv
keyhole picture N20120117S0014_stack.fits -o ../stack.png

echo
echo "image    demo/playground/N20120117S0014_stack.fits"
echo "picture  demo/stack.png"
echo "account  demo/playground/reduce.log"
