#!/bin/sh
# A release agent: started with one argument, the path of the group that has become empty, and with an
# environment of HOME and PATH only. A release is a hint: by now the group may be in use again.
echo "$(date +%T) $1 is empty" >> /tmp/pinfold-released.log
