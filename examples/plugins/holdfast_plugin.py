"""A file for ms-swift: swift sft --external_plugins holdfast_plugin.py --model_kwargs ..."""

from holdfast.plugins.ms_swift import register

register()
