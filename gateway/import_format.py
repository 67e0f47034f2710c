"""What a file to import looks like: `./run.sh import --help` tells it."""

FORMAT = """\
The file is CSV in UTF-8 with a heading line; the columns may stand in any order, and those not needed may be
left out. A line without `kind` is a household, the lines behind it with a `kind` are its devices:

  household           the file's own name for the household, on each of its lines; imported once under it
  name, address       what it is called, 1 to 200 characters, and its postal address (may be empty)
  latitude, longitude where it stands, degrees; its network area and community follow from that
  subscribed_power_w  the power it subscribes to, W; 6000 unless given
  kind                METER, APPLIANCE, SOLAR, GENERATOR, BATTERY or VEHICLE
  device              the device's name, another for each device of the household
  flexibility         ESSENTIAL (unless given), SHIFTABLE or INTERRUPTIBLE
  since               measured from this time on, ISO 8601 with zone; from now unless given
  rated_power_w, capacity_wh, reserve_wh, efficiency_percent, tilt_deg, azimuth_deg
                      numbers; what a device does not have is left empty

A household stands with all its devices or, when one of its lines is refused, not at all; every refused line
is told with its rule. The same file again adds nothing.
"""
