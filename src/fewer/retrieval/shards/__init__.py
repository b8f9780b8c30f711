"""An index that outgrew one machine: parts of it as Ray actors, and how many machines it would take."""
